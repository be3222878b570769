#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "core/adapter/lora.h"
#include "core/model/config.h"
#include "core/model/memory_estimate.h"
#include "core/run/options.h"
#include "core/strategy/descriptor.h"
#include "core/strategy/strategy.h"

namespace mneme::run {

/// Tokens of one training row.
struct RowTokens {
  std::int64_t prompt = 0, answer = 0;
};

/// The `count` rows with most tokens.
template <class Row, class Count>
std::vector<Row> longest_of(std::vector<Row> rows, std::int64_t count, Count&& tokens) {
  std::stable_sort(rows.begin(), rows.end(), [&](const Row& a, const Row& b) { return tokens(a) > tokens(b); });
  if (std::ssize(rows) > count) rows.resize(static_cast<std::size_t>(count));
  return rows;
}

/// Rows of the largest micro-batch that a step may meet: the rows with most tokens of one task, as many as a
/// micro-batch takes; of all tasks where a strategy trains on them jointly; and as many again of all tasks where it
/// stores samples, whose replay is differentiated together with the step's own.
/// \param tasks rows of each task, in any order \param capabilities of the strategy \param tokens of a row
template <class Row, class Count>
std::vector<Row> largest_micro_batch(const TrainOptions& options, std::vector<std::vector<Row>> tasks,
                                     std::uint32_t capabilities, Count&& tokens) {
  const std::int64_t size = options.micro_batch();
  std::vector<Row> all;
  for (const std::vector<Row>& rows : tasks) all.insert(all.end(), rows.begin(), rows.end());
  all = longest_of(std::move(all), size, tokens);
  if ((capabilities & kJointTraining) != 0) return all;
  std::vector<Row> largest;
  std::int64_t most = 0;
  for (std::vector<Row>& rows : tasks) {
    rows = longest_of(std::move(rows), size, tokens);
    std::int64_t sum = 0;
    for (const Row& row : rows) sum += tokens(row);
    if (sum <= most) continue;
    most = sum;
    largest = std::move(rows);
  }
  if ((capabilities & kStoresExamples) != 0 && tasks.size() > 1) largest.insert(largest.end(), all.begin(), all.end());
  return largest;
}

/// The step on that micro-batch.
model::TrainingCase training_case(const RunOptions& options, const model::TransformerConfig& config,
                                  const std::vector<RowTokens>& rows);

/// Has the step train a LoRA.
void add_lora(model::TrainingCase& step, const LoraOptions& lora, const model::TransformerConfig& config);

/// The data of a run.
struct RunLoad {
  std::vector<RowTokens> largest{};  ///< see largest_micro_batch()
  std::vector<TaskLoad> tasks{};     ///< in stream order
  std::int64_t questions = 0;        ///< test prompts of all tasks
  std::int64_t longest_prompt = 0;   ///< tokens, of training rows; those of tests are about as long
  std::int64_t longest_answer = 0;   ///< tokens that may be generated
};

/// What a run takes at its peak.
struct MemoryForecast {
  model::TrainingCase step;  ///< the largest
  model::MemoryEstimate bytes;
};

/// Activations are computed again as the options say, or by themselves where a run would take more than nine tenths of
/// the memory, and less that way; never where all weights are trained.
/// \param strategy tells what the method adds \param limit bytes that the run may take; 0: unknown
MemoryForecast foresee_memory(const RunOptions& options, const model::TransformerConfig& config,
                              const Strategy& strategy, const RunLoad& load, std::int64_t limit);

/// "1.47 GB", or "2.5 GB, of it 0.6 GB for what the method keeps" where that is much of it.
std::string memory_text(const model::MemoryEstimate& bytes);

/// Bytes that this run may take: what its launcher lends it (MNEME_MEMORY_LIMIT), else what is free; 0 if unknown.
std::int64_t memory_limit();

}  // namespace mneme::run
