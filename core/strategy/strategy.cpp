#include "core/strategy/strategy.h"

namespace mneme {

Strategy::~Strategy() = default;

std::vector<Stage> Strategy::plan(const std::vector<TaskInfo>& tasks) {
  std::vector<Stage> stages;
  for (std::size_t i = 0; i < tasks.size(); ++i) stages.push_back({{static_cast<std::int64_t>(i) + 1}});
  return stages;
}

void Strategy::attach(Learner& learner) { learner.bank().set_trainable({learner.create_adapter("default")}); }

Dataset Strategy::training_data(Learner&, const TaskView& task) { return task.train; }

std::vector<Phase> Strategy::phases(Learner& learner, const TaskView& task) {
  Phase phase;
  phase.data = training_data(learner, task);
  return {std::move(phase)};
}

StepParts Strategy::compose(Learner&, Dataset samples) { return {{"current", std::move(samples)}}; }

Terms Strategy::loss(Learner& learner, const StepBatch& step) {
  return {learner.cross_entropy(learner.active(), step.current())};
}

ForwardSpec Strategy::route(Learner& learner, const PromptBatch&) { return learner.active(); }

std::vector<Tokens> Strategy::predict(Learner& learner, const PromptBatch& prompts) {
  return learner.generate(route(learner, prompts), prompts);
}

}  // namespace mneme
