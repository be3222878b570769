// Breaks the contract: its anchor outlives a task, but visit_state() does not name it.
#include <ATen/ATen.h>

#include "core/plugin.h"

namespace {
class Forgetful final : public mneme::Strategy {
 public:
  static mneme::ParamSpecs parameters() { return {}; }
  explicit Forgetful(const mneme::Params&) {}
  mneme::Terms loss(mneme::Learner& learner, const mneme::StepBatch& step) override {
    mneme::Terms terms = Strategy::loss(learner, step);
    if (!anchor_.defined()) return terms;
    terms.push_back(learner.regulariser("pull", (learner.parameters() - anchor_).square().sum(), 1, step));
    return terms;
  }
  void after_task(mneme::Learner& learner, const mneme::TaskView&) override {
    anchor_ = learner.bank().values().clone();
  }

 private:
  at::Tensor anchor_;
};
}  // namespace

MNEME_STRATEGY_PLUGIN(Forgetful, {.name = "forgetful", .version = "1.0", .citation = "", .summary = "Saves no state"});
