// Breaks the contract: after a task it edits the frozen weights.
#include <ATen/ATen.h>

#include "core/plugin.h"

namespace {
class Vandal final : public mneme::Strategy {
 public:
  static mneme::ParamSpecs parameters() { return {}; }
  explicit Vandal(const mneme::Params&) {}
  void after_task(mneme::Learner& learner, const mneme::TaskView&) override {
    for (const auto& [name, weight] : learner.model().weights()) weight.mul_(1.001);
  }
};
}  // namespace

MNEME_STRATEGY_PLUGIN(Vandal, {.name = "vandal", .version = "1.0", .citation = "", .summary = "Edits frozen weights"});
