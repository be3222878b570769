#include "plugins/seta/seta_test_support.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::test;

TEST_CASE("the anchor is lambda/2 sum (|T|-1) Om (v - v*)^2 with Om of mean 1 per expert", "[seta]") {
  const double lambda = 3;
  ToyRun run(make_strategy("seta", with("elements", {{"lambda", lambda}, {"fisher_samples", std::int64_t{0}}})),
             toy(2));
  run.train_stage(1);
  // By hand from the Fisher service and the ids alone.
  const at::Tensor fisher = run.learner().fisher_diagonal(with_adapters({adapter_of(run, 1)}), run.view(1).train, 0);
  run.strategy().before_task(run.learner(), run.view(2));
  const StepBatch step = split_step({{"current", run.view(2).train}}, 1).front();
  const Terms start = run.strategy().loss(run.learner(), step);
  REQUIRE(start.size() == 2);
  CHECK(start[1].name == "anchor");
  CHECK(start[1].weight == lambda);
  CHECK(start[1].value.item<double>() == 0);

  std::vector<double> importance;
  std::vector<std::int64_t> shared;  // places in the second task's flat vector
  std::int64_t first_offset = 0, second_offset = 0;
  for (std::int64_t i = 0; i < linears_of(run); ++i) {
    const at::Tensor old = ids_of(run, 1, i), own = ids_of(run, 2, i);
    for (std::int64_t b = 0; b < own.numel(); ++b)
      for (std::int64_t a = 0; a < old.numel(); ++a)
        if (own[b].item<std::int64_t>() == old[a].item<std::int64_t>()) {
          shared.push_back(second_offset + b);
          importance.push_back(fisher[first_offset + a].item<double>());
        }
    first_offset += old.numel();
    second_offset += own.numel();
  }
  REQUIRE(shared.size() > 1);
  double mean = 0;
  for (const double value : importance) mean += value / static_cast<double>(importance.size());
  RandomStream rng(3, "moves");
  at::Tensor moves = at::zeros_like(run.learner().bank().values());
  for (std::int64_t i = 0; i < moves.numel(); ++i) moves.data_ptr<float>()[i] = static_cast<float>(0.1 * rng.normal());
  run.learner().bank().values().add_(moves);
  double expected = 0;
  for (std::size_t i = 0; i < shared.size(); ++i)
    expected += 0.5 * std::max(importance[i] / mean, 1e-3) * std::pow(moves[shared[i]].item<double>(), 2);
  const Terms moved = run.strategy().loss(run.learner(), step);
  CHECK(moved[1].value.item<double>() == Approx(expected).epsilon(1e-4));

  // Its gradient is Om (v - v*) on shared units and exactly zero on unique ones.
  run.learner().bank().gradient().zero_();
  moved[1].value.backward();
  at::Tensor gradient = run.learner().bank().gradient().clone();
  for (std::size_t i = 0; i < shared.size(); ++i) {
    const double slope = std::max(importance[i] / mean, 1e-3) * moves[shared[i]].item<double>();
    CHECK(gradient[shared[i]].item<double>() == Approx(slope).epsilon(1e-3).margin(1e-7));
    gradient[shared[i]] = 0;
  }
  CHECK(gradient.abs().max().item<float>() == 0);
}

TEST_CASE("a stiff anchor holds shared values to 1e-4, and lambda 0 is fine-tuning of a task's units", "[seta]") {
  for (const char* backend : {"components", "elements"}) {
    INFO(backend);
    ToyOptions options = toy(2);
    options.train.learning_rate = 1e-5;
    ToyRun run(make_strategy("seta", with(backend, {{"lambda", 1e8}, {"rate", 1.0}})), options);
    run.train_stage(1);
    std::vector<at::Tensor> before;
    for (std::int64_t i = 0; i < linears_of(run); ++i) before.push_back(units_of(run, 1, i));
    run.train_stage(2);
    double most = 0;
    for (std::int64_t i = 0; i < linears_of(run); ++i)
      most = std::max(most, (units_of(run, 1, i) - before[static_cast<std::size_t>(i)]).abs().max().item<double>());
    CHECK(most < 1e-4);

    ToyRun loose(make_strategy("seta", with(backend, {{"lambda", 0.0}})), toy(2));
    loose.train_stage(1);
    loose.strategy().before_task(loose.learner(), loose.view(2));
    const StepBatch step = split_step({{"current", loose.view(2).train}}, 1).front();
    double sum = 0;
    for (const Term& term : loose.strategy().loss(loose.learner(), step))
      sum += term.weight * term.value.item<double>();
    const Term plain = loose.learner().cross_entropy(with_adapters({adapter_of(loose, 2)}), step.current());
    CHECK(sum == plain.value.item<double>());
  }
}
