#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <boost/algorithm/string.hpp>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/model/generate.h"
#include "tools/cli/full/model_tools.h"

namespace mneme::cli {

namespace {
using Json = nlohmann::ordered_json;
using Ids = std::vector<std::int32_t>;

/// A text that a model wrote in bytes need not be UTF-8: what is none of it becomes U+FFFD.
void print_line(const Json& out) { fmt::print("{}\n", out.dump(-1, ' ', false, Json::error_handler_t::replace)); }

/// The prompt as ids: given so, or a text with the special tokens that the model wants around it.
Ids prompt_of(LoadedModel& loaded, const ModelSettings& settings) {
  if (settings.ids.empty() == settings.prompt.empty()) throw UsageError("give either --prompt TEXT or --ids 1,2,3");
  if (!settings.ids.empty()) return read_ids("--ids", settings.ids, loaded.model->config().vocab_size);
  return loaded.form().prompt(loaded.tokenizer().encode(settings.prompt));
}

/// What an encoder-decoder is asked for: the rows that follow each of the decoder's inputs.
model::PackedBatch decoder_rows(const LoadedModel& loaded, Ids source, Ids inputs) {
  const std::int64_t start = loaded.model->config().decoder_start_token_id;
  if (inputs.empty()) inputs.push_back(static_cast<std::int32_t>(start));
  if (inputs.front() != start)
    throw UsageError(fmt::format("--decoder-ids starts with {}; this model's decoder reads its start token {} first",
                                 inputs.front(), start));
  // The start token is the model's own; each further input is a label first, and one label more asks for the last row.
  const auto first_label = static_cast<std::int64_t>(source.size());
  source.insert(source.end(), inputs.begin() + 1, inputs.end());
  source.push_back(0);
  const std::vector<model::Sequence> sequences = {{source, first_label}};
  return model::pack(sequences);
}
}  // namespace

int model_logits(const ModelSettings& settings) {
  if (settings.ids.empty()) throw UsageError("model logits: give --ids 1,2,3");
  const LoadedModel loaded(settings);
  const std::int64_t vocabulary = loaded.model->config().vocab_size;
  const Ids ids = read_ids("--ids", settings.ids, vocabulary);
  const bool pair = loaded.model->config().encoder_decoder();
  if (!pair && !settings.decoder_ids.empty()) throw UsageError("--decoder-ids: this model has no decoder of its own");
  Ids inputs;
  if (!settings.decoder_ids.empty()) inputs = read_ids("--decoder-ids", settings.decoder_ids, vocabulary);
  const std::vector<Ids> prompts = {ids};
  const model::PackedBatch batch = pair ? decoder_rows(loaded, ids, inputs) : model::pack_prompts(prompts);
  const c10::NoGradGuard no_grad;
  const model::ActiveAdapters adapters = loaded.active();
  const at::Tensor logits = loaded.model
                                ->forward({.batch = &batch,
                                           .adapters = &adapters,
                                           .rows = pair ? model::RowsNeeded::kLabels : model::RowsNeeded::kAll,
                                           .want_logits = true})
                                .logits.to(at::kFloat)
                                .contiguous();
  fmt::print("[");
  for (std::int64_t i = 0; i < logits.size(0); ++i) {
    const float* row = logits.const_data_ptr<float>() + i * logits.size(1);
    fmt::print("{}[{:.9g}]", i == 0 ? "" : ",\n ", fmt::join(row, row + logits.size(1), ", "));
  }
  fmt::print("]\n");
  return kSuccess;
}

int model_generate(const ModelSettings& settings) {
  LoadedModel loaded(settings);
  model::GenerateJob job{.prompt = prompt_of(loaded, settings), .max_new_tokens = settings.new_tokens};
  job.stop = loaded.model->config().eos_token_ids;
  const std::vector<model::GenerateJob> jobs = {job};
  const c10::NoGradGuard no_grad;
  const Ids ids = model::generate(*loaded.model, loaded.active(), jobs, {})[0];
  Json out{{"ids", ids}};
  // Ids were given: the directory may have no tokenizer.
  const bool told_in_ids = !settings.ids.empty();
  try {
    out["text"] = loaded.tokenizer().decode(ids);
  } catch (const Error&) {
    if (!told_in_ids) throw;
    out["text"] = nullptr;
  }
  print_line(out);
  return kSuccess;
}

int model_score(const ModelSettings& settings) {
  if (settings.answers.empty()) throw UsageError("model score: give --answers 'A|B'");
  LoadedModel loaded(settings);
  const std::vector<Ids> prompts = {prompt_of(loaded, settings)};
  std::vector<std::string> answers;
  boost::split(answers, settings.answers, boost::is_any_of("|"));
  std::vector<std::vector<Ids>> candidates(1);
  const data::SequenceForm form = loaded.form();
  for (const std::string& answer : answers) candidates[0].push_back(form.answer(answer));
  const c10::NoGradGuard no_grad;
  const auto scores = model::score_continuations(*loaded.model, loaded.active(), prompts, candidates, {})[0];
  Json out = Json::array();
  for (std::size_t i = 0; i < answers.size(); ++i)
    out.push_back({{"answer", answers[i]}, {"ids", candidates[0][i]}, {"log_probability", scores[i]}});
  print_line(out);
  return kSuccess;
}

}  // namespace mneme::cli
