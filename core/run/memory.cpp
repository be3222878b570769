#include "core/run/memory.h"

#include <cstdlib>

#include "core/base/free_memory.h"

namespace mneme::run {

model::TrainingCase training_case(const RunOptions& options, const model::TransformerConfig& config,
                                  const std::vector<RowTokens>& rows) {
  model::TrainingCase step;
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

bool wants_recompute(const RunOptions& options, const model::TransformerConfig& config, const model::TrainingCase& step,
                     std::int64_t limit) {
  if (options.recompute != "auto") return options.recompute == "always";
  if (limit <= 0) return false;
  model::TrainingCase again = step;
  again.recompute = true;
  const double plain = model::estimate_memory(config, step).total();
  return plain > 0.9 * static_cast<double>(limit) && model::estimate_memory(config, again).total() < plain;
}

std::int64_t memory_limit() {
  const char* lent = std::getenv("MNEME_MEMORY_LIMIT");
  const std::int64_t bytes = lent != nullptr ? std::strtoll(lent, nullptr, 10) : 0;
  return bytes > 0 ? bytes : free_memory();
}

}  // namespace mneme::run
