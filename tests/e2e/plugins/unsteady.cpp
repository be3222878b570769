// Breaks the contract: its loss depends on a random number that is not the run's.
#include <ATen/ATen.h>

#include "core/plugin.h"

namespace {
class Unsteady final : public mneme::Strategy {
 public:
  static mneme::ParamSpecs parameters() { return {}; }
  explicit Unsteady(const mneme::Params&) {}
  mneme::Terms loss(mneme::Learner& learner, const mneme::StepBatch& step) override {
    mneme::Terms terms = Strategy::loss(learner, step);
    terms[0].weight = 1 + at::rand({1}).item<double>();
    return terms;
  }
};
}  // namespace

MNEME_STRATEGY_PLUGIN(Unsteady, {.name = "unsteady", .version = "1.0", .citation = "", .summary = "Not deterministic"});
