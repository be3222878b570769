/// \file Multi-task learning: all tasks at once, shuffled together. The usual upper bound; no continual learner.
/// Source: METHODS B3.
/// Deviations from the published code (which trains on the evaluation sets): trains on the training sets. The budget is
/// train.epochs over the union, so as many steps as a sequential run takes in all.
#include "core/plugin.h"

namespace {

class Mtl final : public mneme::Strategy {
 public:
  static mneme::ParamSpecs parameters() { return {}; }
  explicit Mtl(const mneme::Params&) {}

  std::vector<mneme::Stage> plan(const std::vector<mneme::TaskInfo>& tasks) override {
    mneme::Stage joint;
    for (std::size_t i = 1; i <= tasks.size(); ++i) joint.tasks.push_back(static_cast<std::int64_t>(i));
    return {joint};
  }
};

}  // namespace

MNEME_STRATEGY_PLUGIN(Mtl, {.name = "mtl",
                            .version = "1.0",
                            .citation = "",
                            .summary = "Joint training on all tasks",
                            .capabilities = mneme::kJointTraining});
