#include "core/eval/evaluator.h"

#include <algorithm>
#include <limits>

#include "core/base/error.h"
#include "core/data/sequence_form.h"
#include "core/metric/text_metric.h"

namespace mneme {

Evaluator::Evaluator(Learner& learner, Strategy& strategy, const data::Stream& stream, const text::Tokenizer& tokenizer,
                     EvalOptions options)
    : learner_(learner),
      strategy_(strategy),
      tokenizer_(tokenizer),
      options_(std::move(options)),
      split_(options_.split == "eval" ? data::Split::kEval : data::Split::kTest) {
  const data::SequenceForm form(tokenizer, learner.model().config().encoder_decoder(),
                                learner.model().config().vocab_size);
  // What ends the answers that the model learns, and what ended those that it has learned from before.
  std::vector<std::int32_t> ends = learner.model().config().eos_token_ids;
  if (const auto eos = tokenizer.eos(); eos && std::find(ends.begin(), ends.end(), *eos) == ends.end())
    ends.push_back(*eos);
  for (const data::Task& task : stream.tasks) {
    EvalTask made{task, {}, {}};
    const std::int64_t new_tokens = task.spec().max_new_tokens;
    const data::LengthLimits limits = with_context(fmt::format("making room for the answers of task '{}'", task.name()),
                                                   [&] { return form.prompt_limits(options_.max_length, new_tokens); });
    const data::TokenizedSplit rows = data::tokenize_split(tokenizer, task, split_, limits, options_.cache);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      model::GenerateJob job{.prompt = with_context(fmt::format("prompt {} of task '{}'", i, task.name()),
                                                    [&] { return form.prompt(rows[i].prompt); }),
                             .max_new_tokens = new_tokens};
      job.stop = ends;
      made.prompts.push_back(std::move(job));
    }
    if (options_.protocol == "labels")
      for (const auto& label : task.spec().labels) made.labels.push_back(form.answer(label));
    tasks_.push_back(std::move(made));
  }
}

std::string Evaluator::text_of(const Tokens& ids) const {
  std::string text = tokenizer_.decode(ids);
  std::size_t end = text.size();
  for (const std::string& stop : options_.stop) end = std::min(end, text.find(stop));
  return strategy_.answer(text.substr(0, end));
}

std::vector<std::string> Evaluator::label_answers(const EvalTask& task, std::int64_t index) {
  PromptBatch batch{task.prompts, {}};
  if (options_.task_id) batch.task = index;
  const std::vector<std::vector<Tokens>> candidates(task.prompts.size(), task.labels);
  const auto scores = learner_.score(strategy_.route(learner_, batch), batch, candidates);
  std::vector<std::string> predictions;
  for (const auto& row : scores)
    predictions.push_back(
        task.task.spec().labels[static_cast<std::size_t>(std::max_element(row.begin(), row.end()) - row.begin())]);
  return predictions;
}

std::vector<std::vector<std::string>> Evaluator::generated_answers(const std::vector<std::int64_t>& tasks) {
  std::vector<std::vector<std::string>> predictions;
  // Without a task id all prompts form one queue: no task's stragglers leave decoding slots empty.
  std::vector<PromptBatch> batches;
  for (const std::int64_t index : tasks) {
    const auto& prompts = tasks_[static_cast<std::size_t>(index - 1)].prompts;
    if (options_.task_id || batches.empty()) batches.emplace_back();
    if (options_.task_id) batches.back().task = index;
    batches.back().prompts.insert(batches.back().prompts.end(), prompts.begin(), prompts.end());
  }
  std::vector<Tokens> all;
  for (const PromptBatch& batch : batches) {
    std::vector<Tokens> part = strategy_.predict(learner_, batch);
    MNEME_CHECK(part.size() == batch.prompts.size(), "predict() gave {} answers to {} prompts", part.size(),
                batch.prompts.size());
    std::move(part.begin(), part.end(), std::back_inserter(all));
  }
  auto next = all.begin();
  for (const std::int64_t index : tasks) {
    auto& texts = predictions.emplace_back();
    for (std::size_t i = 0; i < tasks_[static_cast<std::size_t>(index - 1)].prompts.size(); ++i)
      texts.push_back(text_of(*next++));
  }
  return predictions;
}

std::vector<double> Evaluator::evaluate(std::int64_t after, std::int64_t last, RunSink& sink,
                                        const std::function<void(std::int64_t, std::int64_t)>& progress) {
  std::vector<double> row(tasks_.size(), std::numeric_limits<double>::quiet_NaN());
  if (options_.rows == "last" && after != 0 && after != last) return row;
  std::vector<std::int64_t> generated, by_label;
  for (std::int64_t index = 1; index <= static_cast<std::int64_t>(tasks_.size()); ++index) {
    if (options_.rows == "lower" && after != 0 && index > after) continue;
    (tasks_[static_cast<std::size_t>(index - 1)].labels.empty() ? generated : by_label).push_back(index);
  }
  const auto total = static_cast<std::int64_t>(generated.size() + by_label.size());
  std::vector<std::vector<std::string>> predictions(tasks_.size());
  auto texts = generated_answers(generated);
  for (std::size_t i = 0; i < generated.size(); ++i)
    predictions[static_cast<std::size_t>(generated[i] - 1)] = std::move(texts[i]);
  progress(static_cast<std::int64_t>(generated.size()), total);
  for (std::size_t i = 0; i < by_label.size(); ++i) {
    const auto position = static_cast<std::size_t>(by_label[i] - 1);
    predictions[position] = label_answers(tasks_[position], by_label[i]);
    progress(static_cast<std::int64_t>(generated.size() + i + 1), total);
  }
  for (std::int64_t index = 1; index <= static_cast<std::int64_t>(tasks_.size()); ++index) {
    const auto position = static_cast<std::size_t>(index - 1);
    if (!predictions[position].empty()) row[position] = emit(after, index, predictions[position], sink);
  }
  return row;
}

double Evaluator::emit(std::int64_t after, std::int64_t index, const std::vector<std::string>& predictions,
                       RunSink& sink) const {
  const data::Task& task = tasks_[static_cast<std::size_t>(index - 1)].task;
  const auto examples = task.split(split_);
  std::vector<metric::Sample> samples;
  for (std::size_t i = 0; i < examples.size(); ++i)
    samples.push_back({predictions[i], examples[i].references, examples[i].source, examples[i].group});
  const metric::Score primary = metric::text_metric(task.spec().metric).score(samples);
  for (std::size_t i = 0; i < examples.size(); ++i)
    sink.example({after, index, examples[i].row_id, predictions[i], primary.per_example[i]});
  sink.score({after, index, task.spec().metric, true, primary.value});
  for (const auto& id : task.spec().more_metrics)
    sink.score({after, index, id, false, metric::text_metric(id).score(samples).value});
  return primary.value;
}

}  // namespace mneme
