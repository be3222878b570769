#include "core/run/memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "core/base/free_memory.h"

namespace mneme::run {

model::TrainingCase training_case(const RunOptions& options, const model::TransformerConfig& config,
                                  const std::vector<RowTokens>& rows) {
  model::TrainingCase step;
  const std::int64_t most = options.train.micro_batch();
  step.passes = std::max<std::int64_t>(1, (std::ssize(rows) + most - 1) / most);
  step.dtype = scalar_type(options.model.dtype);
  for (const RowTokens& row : rows) {
    step.rows += config.encoder_decoder() ? row.answer : row.prompt + row.answer;
    step.source_rows += config.encoder_decoder() ? row.prompt : 0;
    step.labels += row.answer;
  }
  step.full = options.adapter.kind == "full";
  if (step.full) {
    step.trained = model::parameter_count(config);
    return step;
  }
  LoraOptions lora = options.adapter.lora;
  if (!options.adapter.peft.empty()) lora.targets = {"all-linear"};  // the directory says which, at most all
  add_lora(step, lora, config);
  return step;
}

void add_lora(model::TrainingCase& step, const LoraOptions& lora, const model::TransformerConfig& config) {
  const std::vector<model::LinearInfo> linears = model::linears_of(config);
  for (const LoraTarget& target : lora_targets(lora, linears)) {
    const model::LinearInfo& linear = linears[static_cast<std::size_t>(target.linear)];
    step.adapted.push_back(target.linear);
    step.trained += target.rank * (linear.in + linear.out);
  }
}

namespace {
/// What a method needs lives beside the step, or at a time that has no activations, as that of answering.
model::MemoryEstimate estimate(const MemoryCase& run, const MemoryNeed& need, const model::MemoryEstimate& answers) {
  model::MemoryEstimate bytes = model::estimate_memory(run.config, run.step);
  const double pass = bytes.activations + bytes.transient, own = std::max(need.step, need.rest - pass);
  bytes.method = need.kept + own;
  bytes.answering = std::max(0.0, answers.activations + answers.transient - pass - own);
  return bytes;
}

model::AnsweringCase answering_case(const RunOptions& options, const RunLoad& load) {
  return {.dtype = scalar_type(options.model.dtype),
          .slots = std::clamp<std::int64_t>(load.questions, 1, options.eval.decode_slots),
          .prompt = load.longest_prompt,
          .new_tokens = load.longest_answer};
}
}  // namespace

MemoryForecast foresee_memory(const RunOptions& options, const model::TransformerConfig& config,
                              const Strategy& strategy, const RunLoad& load, std::int64_t limit) {
  MemoryCase run{config, training_case(options, config, load.largest), load.tasks};
  MemoryNeed need = strategy.memory(run);
  if (need.first_layer > options.adapter.lora.first_layer && !run.step.full) {
    RunOptions above = options;
    above.adapter.lora.first_layer = need.first_layer;
    run.step = training_case(above, config, load.largest);
    need = strategy.memory(run);
  }
  const model::MemoryEstimate answers = model::estimate_answering(config, answering_case(options, load));
  const MemoryForecast plain{run.step, estimate(run, need, answers)};
  if (run.step.full) return plain;  // layers of frozen weights alone can be computed again
  run.step.recompute = true;
  const MemoryForecast again{run.step, estimate(run, need, answers)};
  const double bytes = plain.bytes.total();
  const bool asked = limit > 0 && bytes > 0.9 * static_cast<double>(limit) && again.bytes.total() < bytes;
  return options.recompute == "always" || (options.recompute == "auto" && asked) ? again : plain;
}

std::string memory_text(const model::MemoryEstimate& bytes) {
  const std::string all = model::bytes_text(bytes.total());
  if (bytes.method < 0.05 * bytes.total()) return all;
  return fmt::format("{}, of it {} for what the method keeps", all, model::bytes_text(bytes.method));
}

std::int64_t memory_limit() {
  const char* lent = std::getenv("MNEME_MEMORY_LIMIT");
  const std::int64_t bytes = lent != nullptr ? std::strtoll(lent, nullptr, 10) : 0;
  return bytes > 0 ? bytes : free_memory();
}

}  // namespace mneme::run
