#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/train/trainer.h"
#include "tests/core/train/train_bench.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::test;

namespace {
/// Three named parts, each with its own length, and a regulariser.
class Composite final : public Recording {
 public:
  StepParts compose(Learner&, Dataset samples) override {
    return {{"current", std::move(samples)}, {"replay", replay}};
  }
  Terms loss(Learner& learner, const StepBatch& step) override {
    Terms terms = {learner.cross_entropy(learner.active(), step.current())};
    if (const Batch* batch = step.find("replay")) {
      terms.push_back(learner.cross_entropy(learner.active(), *batch, "replay"));
      terms.back().weight = 0.7;
    }
    terms.push_back(learner.regulariser("norm", 0.5 * learner.parameters().square().sum(), 0.2, step));
    return terms;
  }
  Dataset replay = uneven_samples(5, 11);
};
}  // namespace

TEST_CASE("accumulation never changes a step: unequal lengths, replay, a regulariser, a short last batch", "[train]") {
  const Dataset data = uneven_samples(11);
  for (const std::int64_t accumulation : {1, 2, 3, 4, 16}) {
    INFO("accumulation " << accumulation);
    Composite strategy;
    TrainOptions options{.batch_size = 5, .accumulation = accumulation, .learning_rate = 1e-3, .clip = 0};
    Bench bench(strategy, options);
    bench.train(task_of(data));
    REQUIRE(bench.sink.steps.size() == 3);
    const std::vector<std::int64_t> order = RandomStream(5, "order/1/1/1").permutation(11);
    const double replay_loss_weight = 0.7, decay = 0.2;
    for (std::size_t step = 0; step < 3; ++step) {
      // The gradient by its definition, from whole batches.
      Dataset samples;
      for (std::size_t i = 5 * step; i < std::min<std::size_t>(5 * step + 5, 11); ++i)
        samples.push_back(data[static_cast<std::size_t>(order[i])]);
      bench.learner.bank().values().copy_(strategy.before[step]);
      const ForwardSpec spec = bench.learner.active();
      const at::Tensor expected = bench.learner.gradient_on(spec, make_batch(samples)) +
                                  replay_loss_weight * bench.learner.gradient_on(spec, make_batch(strategy.replay)) +
                                  decay * strategy.before[step];
      CHECK(relative_gap(strategy.unclipped[step], expected) < 1e-5);
      const double loss = bench.learner.mean_loss(spec, samples) +
                          replay_loss_weight * bench.learner.mean_loss(spec, strategy.replay) +
                          decay * 0.5 * strategy.before[step].square().sum().item<double>();
      CHECK(bench.sink.steps[step].loss == Approx(loss).epsilon(1e-5));
      CHECK(bench.sink.term_values("norm")[step] ==
            Approx(0.5 * strategy.before[step].square().sum().item<double>()).epsilon(1e-5));
    }
  }
}

namespace {
/// Largest difference between the recorded steps and AdamW's textbook recursion, whose moments start anew before the
/// steps named.
double textbook_gap(const Recording& run, const std::vector<StepEvent>& steps, const std::vector<std::size_t>& anew) {
  at::Tensor m, v;
  double worst = 0;
  int t = 0;
  for (std::size_t i = 0; i < run.after.size(); ++i) {
    const at::Tensor g = run.clipped[i].to(at::kDouble);
    if (std::find(anew.begin(), anew.end(), i) != anew.end()) m = at::zeros_like(g), v = at::zeros_like(g), t = 0;
    ++t;
    m = 0.9 * m + 0.1 * g;
    v = 0.999 * v + 0.001 * g * g;
    const at::Tensor update = m / (1 - std::pow(0.9, t)) / ((v / (1 - std::pow(0.999, t))).sqrt() + 1e-8);
    const at::Tensor expected = run.before[i].to(at::kDouble) - steps[i].lr * update;
    worst = std::max(worst, (run.after[i].to(at::kDouble) - expected).abs().max().item<double>() / steps[i].lr);
  }
  return worst;
}
}  // namespace

TEST_CASE("moments start anew with each task, or never, as optimizer_reset says", "[train]") {
  for (const char* reset : {"per_task", "never"}) {
    INFO(reset);
    Recording strategy;
    TrainOptions options{.batch_size = 4, .learning_rate = 1e-2, .optimizer_reset = reset};
    Bench bench(strategy, options);
    for (std::int64_t stage = 1; stage <= 2; ++stage) bench.train(task_of(toy_samples(stage, 12), stage));
    REQUIRE(strategy.after.size() == 6);
    const bool never = std::string(reset) == "never";
    // Updates are of the size of the learning rate; 1e-3 of it is rounding of small gradients.
    CHECK(textbook_gap(strategy, bench.sink.steps,
                       never ? std::vector<std::size_t>{0} : std::vector<std::size_t>{0, 3}) < 2e-3);
    CHECK(textbook_gap(strategy, bench.sink.steps,
                       never ? std::vector<std::size_t>{0, 3} : std::vector<std::size_t>{0}) > 0.1);
  }
}

TEST_CASE("the gradient is clipped between before_step and before_update", "[train]") {
  class Edits final : public Recording {
   public:
    void before_step(Learner& learner, at::Tensor& gradient) override {
      gradient.mul_(100);
      Recording::before_step(learner, gradient);
    }
  };
  Edits strategy;
  Bench bench(strategy, {.batch_size = 4, .clip = 0.5});
  bench.train(task_of(toy_samples(1, 8)));
  for (std::size_t i = 0; i < strategy.clipped.size(); ++i) {
    const at::Tensor expected = strategy.unclipped[i] * (0.5 / strategy.unclipped[i].norm().item<double>());
    CHECK(strategy.clipped[i].norm().item<double>() == Approx(0.5).epsilon(1e-4));
    CHECK(relative_gap(strategy.clipped[i], expected) < 1e-5);
  }
}

TEST_CASE("a loss, a gradient or parameters that are not finite end the run as diverged", "[train]") {
  class NanLoss final : public Strategy {
   public:
    Terms loss(Learner& learner, const StepBatch& step) override {
      Terms terms = Strategy::loss(learner, step);
      if (learner.step() == 2) terms[0].value = terms[0].value * std::numeric_limits<double>::quiet_NaN();
      return terms;
    }
  };
  class InfiniteGradient final : public Strategy {
   public:
    void before_step(Learner&, at::Tensor& gradient) override { gradient[0] = std::numeric_limits<float>::infinity(); }
  };
  class BreaksParameters final : public Strategy {
   public:
    void after_step(Learner& learner) override {
      if (learner.step() == 3) learner.bank().values()[0] = std::numeric_limits<float>::quiet_NaN();
    }
  };
  const TaskView task = task_of(toy_samples(1, 12));
  const TrainOptions options{.batch_size = 4};
  {
    NanLoss strategy;
    Bench bench(strategy, options);
    CHECK_THROWS_AS(bench.train(task), Diverged);
    CHECK(bench.sink.steps.size() == 1);
    CHECK(bench.learner.step() == 2);
  }
  {
    InfiniteGradient strategy;
    Bench bench(strategy, options);
    CHECK_THROWS_WITH(bench.train(task), Catch::Contains("inf") && Catch::Contains("step 1"));
  }
  {
    BreaksParameters strategy;  // in the last step: no loss would show it
    Bench bench(strategy, options);
    CHECK_THROWS_AS(bench.train(task), Diverged);
    CHECK(bench.sink.steps.size() == 3);
  }
  {
    Strategy plain;
    TrainOptions wild{.epochs = 4, .batch_size = 4, .learning_rate = 3e38};
    Bench bench(plain, wild);
    CHECK_THROWS_WITH(bench.train(task), Catch::Contains("train.learning_rate"));
  }
}

TEST_CASE("a term of weight 0 is reported but adds nothing; a loss without gradient leaves the values", "[train]") {
  class Reports final : public Recording {
   public:
    Terms loss(Learner& learner, const StepBatch& step) override {
      return {{"seen", learner.cross_entropy(learner.active(), step.current()).value, 0, 1},
              {"constant", at::full({}, 2.5), 1, step.step_share}};
    }
  };
  Reports strategy;
  Bench bench(strategy, {.batch_size = 4, .accumulation = 2});
  bench.train(task_of(toy_samples(1, 4)));
  CHECK(bench.sink.steps[0].loss == Approx(2.5));
  CHECK(bench.sink.term_values("seen").size() == 1);
  CHECK(bench.sink.term_values("constant")[0] == Approx(2.5));
  CHECK(strategy.unclipped[0].abs().max().item<float>() == 0);
  CHECK(at::equal(strategy.before[0], strategy.after[0]));
}
