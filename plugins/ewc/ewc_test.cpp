#include <ATen/ATen.h>

#include "tests/support/catch.h"
#include "tests/support/toy.h"

using namespace mneme;
using namespace mneme::test;

namespace {
/// Mean of squared per-sample gradients by plain autograd on the loss, without the Fisher service.
at::Tensor fisher_by_hand(ToyRun& run, const Dataset& data) {
  at::Tensor sum = at::zeros_like(run.learner().bank().values());
  for (const auto& sample : data) {
    at::Tensor gradient = run.learner().bank().gradient();
    gradient.zero_();
    run.learner().cross_entropy(run.learner().active(), make_batch({sample})).value.backward();
    sum += gradient.square();
  }
  run.learner().bank().gradient().zero_();
  return sum / static_cast<double>(data.size());
}
}  // namespace

TEST_CASE("ewc with lambda 0 is seq bit for bit", "[ewc]") {
  const auto seq = trained("seq");
  const auto ewc = trained("ewc", {{"lambda", 0.0}});
  CHECK(ewc->sink.losses() == seq->sink.losses());
  CHECK(at::equal(ewc->all_values(), seq->all_values()));
}

TEST_CASE("ewc's penalty is lambda/2 sum F (w - w*)^2 with a per-sample Fisher", "[ewc]") {
  ToyRun run(make_strategy("ewc", {{"lambda", 3.0}, {"fisher_samples", std::int64_t{0}}}));
  run.train_stage(1);
  const at::Tensor fisher = fisher_by_hand(run, run.view(1).train);
  const at::Tensor anchor = run.learner().bank().values().clone();
  CHECK(fisher.max().item<float>() > 0);

  const StepBatch step = split_step({{"current", run.view(2).train}}, 1).front();
  Terms at_anchor = run.strategy().loss(run.learner(), step);
  REQUIRE(at_anchor.size() == 2);
  CHECK(at_anchor[1].value.item<double>() == 0.0);

  run.learner().bank().values().add_(0.01);
  const Terms moved = run.strategy().loss(run.learner(), step);
  const double expected =
      0.5 * (fisher * (run.learner().bank().values() - anchor).square()).to(at::kDouble).sum().item<double>();
  CHECK(moved[1].weight == 3.0);
  CHECK(moved[1].value.item<double>() == Approx(expected).epsilon(1e-5));

  // Its gradient is lambda F (w - w*).
  run.learner().bank().gradient().zero_();
  (moved[1].value * moved[1].weight).backward();
  const at::Tensor gradient = 3.0 * fisher * (run.learner().bank().values() - anchor);
  CHECK(at::allclose(run.learner().bank().gradient(), gradient, 1e-4, 1e-9));
}

TEST_CASE("a huge lambda holds the weights that the first task needs", "[ewc]") {
  ToyOptions options;
  options.train.epochs = 6;
  const auto moved = [&](double lambda) {
    ToyRun run(make_strategy("ewc", {{"lambda", lambda}, {"fisher_samples", std::int64_t{0}}}), options);
    run.train_stage(1);
    const at::Tensor fisher = fisher_by_hand(run, run.view(1).train), anchor = run.learner().bank().values().clone();
    run.train_stage(2);
    return (fisher * (run.learner().bank().values() - anchor).square()).sum().item<double>();
  };
  CHECK(moved(1e6) < 0.1 * moved(0.0));
}

TEST_CASE("online ewc decays the old Fisher", "[ewc]") {
  ToyRun run(make_strategy("ewc", {{"lambda", 1.0}, {"decay", 0.5}, {"fisher_samples", std::int64_t{0}}}));
  run.train_stage(1);
  const at::Tensor first = fisher_by_hand(run, run.view(1).train);
  run.train_stage(2);
  const at::Tensor second = fisher_by_hand(run, run.view(2).train);
  run.learner().bank().values().add_(0.01);
  const Terms terms = run.strategy().loss(run.learner(), split_step({{"current", run.view(2).train}}, 1).front());
  const double expected = 0.5 * ((0.5 * first + second) * 1e-4).to(at::kDouble).sum().item<double>();
  CHECK(terms[1].value.item<double>() == Approx(expected).epsilon(1e-3));
}
