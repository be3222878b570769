// Breaks the contract: it cannot learn a second task.
#include <stdexcept>

#include "core/plugin.h"

namespace {
class Thrower final : public mneme::Strategy {
 public:
  static mneme::ParamSpecs parameters() { return {}; }
  explicit Thrower(const mneme::Params&) {}
  void before_task(mneme::Learner&, const mneme::TaskView& task) override {
    if (task.stage == 2) throw std::runtime_error("the second basis has no rows");
  }
};
}  // namespace

MNEME_STRATEGY_PLUGIN(Thrower, {.name = "thrower", .version = "1.0", .citation = "", .summary = "Throws"});
