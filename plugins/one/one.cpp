/// \file One adapter per task, each trained from the same start on its task alone; the task is known at test time.
/// Source: METHODS B2 (ONE, per-task fine-tuning).
/// Deviations from the published code (which nests or never renews the adapters): every adapter starts anew from the
/// pretrained model. A task that is not learnt yet is answered by the bare model.
#include "core/plugin.h"

namespace {

class One final : public mneme::Strategy {
 public:
  static mneme::ParamSpecs parameters() { return {}; }
  explicit One(const mneme::Params&) {}

  void attach(mneme::Learner&) override {}

  void before_task(mneme::Learner& learner, const mneme::TaskView& task) override {
    adapters_.resize(std::max(adapters_.size(), static_cast<std::size_t>(task.task())));
    auto& adapter = adapters_[static_cast<std::size_t>(task.task()) - 1];
    adapter = learner.create_adapter("task" + std::to_string(task.task()));
    learner.bank().set_trainable({adapter});
  }

  mneme::ForwardSpec route(mneme::Learner&, const mneme::PromptBatch& prompts) override {
    const auto task = static_cast<std::size_t>(prompts.task.value());
    if (task > adapters_.size() || adapters_[task - 1] == 0) return {};
    return mneme::with_adapters({adapters_[task - 1]});
  }

  void visit_state(mneme::StateVisitor& visitor) override { visitor.integers("adapters", adapters_); }

  mneme::MemoryNeed memory(const mneme::MemoryCase& run) const override {
    return {.kept = run.vectors(static_cast<double>(run.tasks.size()) - 1)};  // the adapters of the other tasks
  }

 private:
  std::vector<mneme::AdapterId> adapters_;  // by task; 0: not learnt yet
};

}  // namespace

MNEME_STRATEGY_PLUGIN(One, {.name = "one",
                            .version = "1.0",
                            .citation = "",
                            .summary = "A separate adapter for every task, chosen by the task's identity",
                            .capabilities = mneme::kTaskIdAtTest | mneme::kGrowsWithTasks});
