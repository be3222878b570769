#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/data/stream.h"
#include "core/event/event.h"
#include "core/strategy/strategy.h"
#include "core/text/tokenizer.h"

namespace mneme {

/// The config group `eval`.
struct EvalOptions {
  std::string split = "test";         ///< test or eval
  std::string protocol = "generate";  ///< generate: greedy text; labels: the likeliest label where a task has labels
  std::string rows = "all";           ///< all; lower: only tasks seen so far; last: only row 0 and the last one
  std::int64_t max_length = 512;      ///< tokens of prompt and answer together
  std::int64_t decode_slots = 32;     ///< sequences decoded at once; never changes the result
  std::vector<std::string> stop{};    ///< texts that end an answer; they and what follows are cut off
  bool task_id = false;               ///< whether the strategy is told the task (its capability)
  std::filesystem::path cache{};      ///< directory of token caches; "": none
};

/// Evaluates every task of the stream: the rows of the matrix R.
class Evaluator {
 public:
  /// Tokenises the test prompts once, through the cache.
  Evaluator(Learner& learner, Strategy& strategy, const data::Stream& stream, const text::Tokenizer& tokenizer,
            EvalOptions options);

  /// Row `after` of R: scores of all tasks in their primary metrics (NaN where not evaluated); emits the cells, the
  /// further metrics and the examples.
  std::vector<double> evaluate(std::int64_t after, std::int64_t last, RunSink& sink,
                               const std::function<void(std::int64_t done, std::int64_t total)>& progress);

 private:
  struct EvalTask {
    data::Task task;
    std::vector<model::GenerateJob> prompts;
    std::vector<Tokens> labels;  // tokenised candidate answers, eos included; protocol "labels" alone
  };
  std::vector<std::vector<std::string>> generated_answers(const std::vector<std::int64_t>& tasks);
  std::vector<std::string> label_answers(const EvalTask& task, std::int64_t index);
  double emit(std::int64_t after, std::int64_t index, const std::vector<std::string>& predictions, RunSink& sink) const;
  std::string text_of(const Tokens& ids) const;

  Learner& learner_;
  Strategy& strategy_;
  const text::Tokenizer& tokenizer_;
  EvalOptions options_;
  data::Split split_;
  std::vector<EvalTask> tasks_;
};

}  // namespace mneme
