/// \file Elastic weight consolidation with one running quadratic anchor.
/// Source: Kirkpatrick et al. 2017, eq. 3; one anchor with a decayed Fisher: Schwarz et al. 2018 (online EWC):
///   loss = CE + lambda / 2 · sum_i F_i (w_i - w*_i)^2,   F <- decay · F + F_task,
///   F_task = mean over samples of the squared gradient of that sample's loss, at the task's final weights.
/// Deviations: the Fisher is empirical (labels from the data, gradient of the mean cross-entropy over a sample's label
/// tokens) and covers the trained parameters only. It is never taken from squared batch means, from gradients that
/// contain the penalty, or before training has ended, as published codes do.
#include "core/plugin.h"

namespace {

class Ewc final : public mneme::Strategy {
 public:
  static mneme::ParamSpecs parameters() {
    using enum mneme::ParamType;
    return {
        {"lambda", kReal, "1000", ">= 0",
         "strength of the penalty; adapters have small gradients and want large values"},
        {"decay", kReal, "1.0", "[0, 1]", "factor on the old Fisher diagonal at each task's end"},
        {"fisher_samples", kInt, "100", ">= 0", "training samples that the Fisher diagonal is estimated from; 0: all"}};
  }
  explicit Ewc(const mneme::Params& p)
      : lambda_(p.real("lambda")), decay_(p.real("decay")), fisher_samples_(p.integer("fisher_samples")) {}

  mneme::Terms loss(mneme::Learner& learner, const mneme::StepBatch& step) override {
    mneme::Terms terms = Strategy::loss(learner, step);
    if (fisher_.defined() && lambda_ > 0) {
      const at::Tensor distance = learner.parameters() - anchor_;
      terms.push_back(learner.regulariser("ewc", 0.5 * (fisher_ * distance.square()).sum(), lambda_, step));
    }
    return terms;
  }

  void after_task(mneme::Learner& learner, const mneme::TaskView& task) override {
    if (lambda_ == 0) return;
    const at::Tensor fisher = learner.fisher_diagonal(learner.active(), task.train, fisher_samples_);
    fisher_ = fisher_.defined() ? decay_ * fisher_ + fisher : fisher;
    anchor_ = learner.bank().values().clone();
  }

  void visit_state(mneme::StateVisitor& visitor) override {
    visitor.tensor("fisher", fisher_);
    visitor.tensor("anchor", anchor_);
  }

  mneme::MemoryNeed memory(const mneme::MemoryCase& run) const override {
    if (lambda_ == 0) return {};
    // Fisher diagonal and anchor; of the penalty distance, square and product, then gradients of these; while
    // the diagonal is taken its sum, and a sample's gradient in parts and as a whole.
    return {.kept = run.vectors(2), .step = run.tasks.size() > 1 ? run.vectors(4.5) : 0, .rest = run.vectors(3)};
  }

 private:
  double lambda_, decay_;
  std::int64_t fisher_samples_;
  at::Tensor fisher_, anchor_;  // [n]; undefined before the first task has ended
};

}  // namespace

MNEME_STRATEGY_PLUGIN(Ewc, {.name = "ewc",
                            .version = "1.0",
                            .citation = "Kirkpatrick et al. 2017; Schwarz et al. 2018",
                            .summary = "A quadratic penalty around old weights, weighted by the Fisher diagonal",
                            .capabilities = mneme::kStoresModelCopy});
