#include <ATen/ATen.h>
#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "core/adapter/peft.h"
#include "core/base/error.h"
#include "core/train/optimizer.h"
#include "tools/cli/full/model_tools.h"

namespace mneme::cli {

namespace {
using Json = nlohmann::json;

struct Row {
  std::vector<std::int32_t> tokens;
  std::int64_t first_label = 0;
};

Row read_row(LoadedModel& loaded, const Json& json, const std::string& where) {
  const bool ids = json.contains("prompt_ids") && json.contains("answer_ids");
  if (!ids && !(json.contains("prompt") && json.contains("answer")))
    throw DataError(
        fmt::format("{}: expected {{\"prompt\", \"answer\"}} or {{\"prompt_ids\", \"answer_ids\"}}", where));
  Row row;
  std::vector<std::int32_t> answer;
  try {
    if (ids) {
      row.tokens = json["prompt_ids"].get<std::vector<std::int32_t>>();
      answer = json["answer_ids"].get<std::vector<std::int32_t>>();
    } else {
      const data::SequenceForm form = loaded.form();
      row.tokens = form.prompt(loaded.tokenizer().encode(json["prompt"].get<std::string>()));
      answer = form.answer(json["answer"].get<std::string>());
    }
  } catch (const Json::exception& e) {
    throw DataError(fmt::format("{}: {}", where, e.what()));
  }
  row.first_label = static_cast<std::int64_t>(row.tokens.size());
  row.tokens.insert(row.tokens.end(), answer.begin(), answer.end());
  if (row.first_label == 0 || answer.empty()) throw DataError(fmt::format("{}: prompt and answer need a token", where));
  for (const std::int32_t id : row.tokens)
    if (id < 0 || id >= loaded.model->config().vocab_size)
      throw DataError(
          fmt::format("{}: {} is no token id of a vocabulary of {}", where, id, loaded.model->config().vocab_size));
  return row;
}

std::vector<Row> read_rows(LoadedModel& loaded, const std::string& file) {
  std::ifstream in(file);
  if (!in) throw DataError(fmt::format("{}: cannot be read", file));
  std::vector<Row> rows;
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) {
    if (line.empty()) continue;
    const std::string where = fmt::format("{}:{}", file, number);
    const Json json = Json::parse(line, nullptr, false);
    if (!json.is_object()) throw DataError(fmt::format("{}: is not a JSON object", where));
    rows.push_back(read_row(loaded, json, where));
  }
  if (rows.empty()) throw DataError(fmt::format("{}: holds no rows", file));
  return rows;
}
}  // namespace

int model_probe(const ModelSettings& settings) {
  if (settings.data.empty() || settings.out.empty() || settings.steps < 1)
    throw UsageError("model probe: give --data FILE.jsonl, --steps N and --out DIR");
  LoadedModel loaded(settings);
  const std::vector<Row> rows = read_rows(loaded, settings.data);
  std::vector<model::Sequence> sequences;
  for (const Row& row : rows) sequences.push_back({row.tokens, row.first_label});
  const model::PackedBatch batch = model::pack(sequences);
  RandomStream random(0, "probe");
  AdapterBank& bank = loaded.bank;
  const AdapterId adapter =
      loaded.adapter.value_or(0) != 0 ? *loaded.adapter : bank.create_lora("adapter", lora_of(settings), random);
  bank.set_trainable({adapter});
  AdamW optimizer(TrainOptions{.learning_rate = settings.learning_rate});
  at::Tensor values = bank.values(), gradient = bank.gradient(), first_gradient;
  optimizer.reset(values.numel());
  const std::vector<OptimizerSegment> whole = {{0, values.numel(), 1.0, 0.0}};
  Json losses = Json::array();
  for (std::int64_t step = 0; step < settings.steps; ++step) {
    gradient.zero_();
    const model::ActiveAdapters active = bank.resolve(with_adapters({adapter}));
    const at::Tensor loss =
        loaded.model
            ->forward({.batch = &batch, .adapters = &active, .want_losses = true, .recompute = settings.recompute})
            .losses.mean();
    loss.backward();
    losses.push_back(loss.item<double>());
    if (step == 0) first_gradient = gradient.clone();
    optimizer.step(values, gradient, settings.learning_rate, whole);
  }
  const std::filesystem::path out = settings.out;
  write_peft(out / "adapter", bank, adapter, *loaded.model, loaded.directory.string());
  values.copy_(first_gradient);
  write_peft(out / "gradients", bank, adapter, *loaded.model, loaded.directory.string());
  fmt::print("{}\n", Json{{"losses", losses}}.dump());
  return kSuccess;
}

}  // namespace mneme::cli
