#include "core/train/trainer.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "core/train/schedule.h"
#include "tests/support/catch.h"
#include "tests/support/toy.h"

using namespace mneme;
using namespace mneme::test;

namespace {
/// Samples whose prompts and answers have all lengths.
Dataset uneven_samples(std::int64_t count, std::uint64_t seed = 3) {
  Dataset all;
  RandomStream rng(seed, "uneven");
  for (std::int64_t i = 0; i < count; ++i) {
    Sample sample;
    sample.first_label = 1 + static_cast<std::int64_t>(rng.below(6));
    const std::int64_t length = sample.first_label + 1 + static_cast<std::int64_t>(rng.below(9));
    for (std::int64_t k = 0; k < length; ++k) sample.tokens.push_back(static_cast<std::int32_t>(rng.below(24)));
    all.push_back(std::make_shared<const Sample>(std::move(sample)));
  }
  return all;
}

TaskView task_of(Dataset train, std::int64_t stage = 1, std::vector<std::int64_t> tasks = {}) {
  return {stage, tasks.empty() ? std::vector{stage} : tasks, "task", std::move(train), {}};
}

/// A learner and its trainer on the toy model, with the default adapter.
struct Bench {
  Bench(Strategy& strategy, const TrainOptions& options, std::uint64_t seed = 5, double dropout = 0)
      : learner(toy_model(), learner_options(seed, dropout), sink), trainer(learner, strategy, options, sink) {
    strategy.attach(learner);
  }
  TrainCost train(const TaskView& task) {
    return trainer.train(task, [](const TrainProgress&) {});
  }
  static LearnerOptions learner_options(std::uint64_t seed, double dropout) {
    ToyOptions toy;
    toy.adapter.lora.dropout = dropout;
    return {seed, toy.adapter, 4, 4};
  }

  VectorSink sink;
  Learner learner;
  Trainer trainer;
};

/// Plain fine-tuning that writes down each step as the optimiser saw it.
class Recording : public Strategy {
 public:
  void before_step(Learner&, at::Tensor& gradient) override { unclipped.push_back(gradient.clone()); }
  void before_update(Learner& learner, const at::Tensor& gradient) override {
    clipped.push_back(gradient.clone());
    before.push_back(learner.bank().values().clone());
  }
  void after_step(Learner& learner) override { after.push_back(learner.bank().values().clone()); }

  std::vector<at::Tensor> unclipped, clipped, before, after;
};

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

double relative_gap(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>() / b.abs().max().item<double>();
}
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

TEST_CASE("calls come in the documented order", "[train]") {
  class Calls final : public Strategy {
   public:
    void before_task(Learner&, const TaskView& task) override { log += "B" + std::to_string(task.task()) + " "; }
    Dataset training_data(Learner& learner, const TaskView& task) override {
      log += "D ";
      return Strategy::training_data(learner, task);
    }
    std::vector<Phase> phases(Learner& learner, const TaskView& task) override {
      log += "H ";
      return Strategy::phases(learner, task);
    }
    void before_phase(Learner&, const TaskView&, std::int64_t index) override { log += "P" + std::to_string(index) + " "; }
    StepParts compose(Learner& learner, Dataset samples) override {
      log += "C" + std::to_string(samples.size());
      return Strategy::compose(learner, std::move(samples));
    }
    Terms loss(Learner& learner, const StepBatch& step) override {
      log += "L";
      return Strategy::loss(learner, step);
    }
    void before_step(Learner&, at::Tensor&) override { log += "G"; }
    void before_update(Learner&, const at::Tensor&) override { log += "U"; }
    void after_step(Learner& learner) override { log += "S" + std::to_string(learner.step()) + " "; }
    bool after_epoch(Learner&, const TaskView&, std::int64_t epoch) override {
      log += "E" + std::to_string(epoch) + " ";
      return false;
    }
    void after_task(Learner&, const TaskView& task) override { log += "T" + std::to_string(task.task()) + " "; }
    std::string log;
  };
  Calls strategy;
  Bench bench(strategy, {.epochs = 2, .batch_size = 2, .accumulation = 2});
  bench.train(task_of(toy_samples(1, 3), 1, {4}));
  bench.train(task_of(toy_samples(2, 1), 2, {1, 2}));
  CHECK(strategy.log ==
        "B4 H D P1 C2LLGUS1 C1LGUS2 E1 C2LLGUS3 C1LGUS4 E2 T4 "
        "B2 H D P1 C1LGUS5 E1 C1LGUS6 E2 T2 ");
}

TEST_CASE("steps, epochs and phases are counted and ordered as the record says", "[train]") {
  Strategy plain;
  Bench bench(plain, {.epochs = 3, .batch_size = 4, .learning_rate = 1e-3});
  const Dataset data = uneven_samples(10);
  const TrainCost cost = bench.train(task_of(data, 2, {7}));
  REQUIRE(bench.sink.steps.size() == 9);
  std::int64_t fed = 0, tokens = 0;
  for (const auto& sample : data) fed += static_cast<std::int64_t>(sample->tokens.size()) - 1;
  for (std::size_t i = 0; i < 9; ++i) {
    const StepEvent& e = bench.sink.steps[i];
    CHECK(e.task == 7);
    CHECK(e.phase == 1);
    CHECK(e.epoch == static_cast<std::int64_t>(i / 3) + 1);
    CHECK(e.step == static_cast<std::int64_t>(i) + 1);
    CHECK(e.lr == 1e-3);
    tokens += e.tokens;
  }
  CHECK(tokens == 3 * fed);
  CHECK(cost.tokens == tokens);
  CHECK(cost.train_seconds > 0);
  CHECK(cost.strategy_seconds >= 0);
  CHECK(cost.strategy_seconds <= cost.train_seconds);
  CHECK(bench.learner.step() == 9);
}

TEST_CASE("epochs per task go by position, and a stage of several tasks takes its last one's", "[train]") {
  Strategy plain;
  TrainOptions options{.epochs = 1, .epochs_per_task = {2, 3}, .batch_size = 4};
  Bench bench(plain, options);
  const auto steps_of = [&](const TaskView& task) {
    const std::size_t before = bench.sink.steps.size();
    bench.train(task);
    return bench.sink.steps.size() - before;
  };
  const Dataset data = toy_samples(1, 5);
  CHECK(steps_of(task_of(data, 1)) == 4);
  CHECK(steps_of(task_of(data, 2)) == 6);
  CHECK(steps_of(task_of(data, 3)) == 2);
  CHECK(steps_of(task_of(data, 4, {1, 2})) == 6);
  CHECK(bench.trainer.expected_steps(5, 1) == 4);
  CHECK(bench.trainer.expected_steps(5, 2) == 6);
  CHECK(bench.trainer.expected_steps(8, 3) == 2);
}

TEST_CASE("max_steps ends a phase within an epoch, and the schedule with it", "[train]") {
  Strategy plain;
  TrainOptions options{.epochs = 4, .batch_size = 2, .max_steps = 5, .learning_rate = 0.01, .schedule = "linear"};
  Bench bench(plain, options);
  for (std::int64_t stage = 1; stage <= 2; ++stage) {
    bench.sink.steps.clear();
    bench.train(task_of(toy_samples(stage, 6), stage));
    REQUIRE(bench.sink.steps.size() == 5);
    for (std::size_t i = 0; i < 5; ++i)
      CHECK(bench.sink.steps[i].lr == Approx(0.01 * (1 - static_cast<double>(i) / 5)));
    CHECK(bench.sink.steps.back().epoch == 2);
  }
  CHECK(bench.trainer.expected_steps(6, 1) == 5);
}

TEST_CASE("phases have their own data, epochs, rates and groups; warm-up starts anew in each", "[train]") {
  class TwoPhases final : public Recording {
   public:
    std::vector<Phase> phases(Learner& learner, const TaskView& task) override {
      const AdapterId id = learner.bank().trainable().front();
      Phase first{"first", {task.train.begin(), task.train.begin() + 4}, 2, {}, {{id, ParameterRole::kLoraA, 0.0, {}}}};
      Phase second{"second", task.train, {}, 0.02, {{id, {}, 0.5, 0.0}}};
      return {first, second, Phase{"empty", {}, {}, {}, {}}};
    }
  };
  TwoPhases strategy;
  TrainOptions options{.batch_size = 2, .learning_rate = 0.01, .warmup_steps = 1, .weight_decay = 0.1};
  Bench bench(strategy, options);
  bench.train(task_of(toy_samples(1, 6)));
  REQUIRE(bench.sink.steps.size() == 4 + 3);
  for (std::size_t i = 0; i < 7; ++i) {
    const StepEvent& e = bench.sink.steps[i];
    CHECK(e.phase == (i < 4 ? 1 : 2));
    CHECK(e.lr == (i == 0 || i == 4 ? 0 : i < 4 ? 0.01 : 0.02));
  }
  // Every A is frozen in the first phase, to the bit, and moves in the second.
  bool moved_b = false;
  for (const ParameterView& view : bench.learner.bank().views()) {
    const at::Tensor start = view.of(strategy.before[0]), middle = view.of(strategy.after[3]);
    if (view.role == ParameterRole::kLoraA)
      CHECK(at::equal(start, middle));
    else
      moved_b = moved_b || !at::equal(start, middle);
    CHECK_FALSE(at::equal(middle, view.of(strategy.after[6])));
  }
  CHECK(moved_b);
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
    CHECK(textbook_gap(strategy, bench.sink.steps, never ? std::vector<std::size_t>{0} : std::vector<std::size_t>{0, 3}) < 2e-3);
    CHECK(textbook_gap(strategy, bench.sink.steps, never ? std::vector<std::size_t>{0, 3} : std::vector<std::size_t>{0}) > 0.1);
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

TEST_CASE("after_epoch ends a phase early", "[train]") {
  class Stops final : public Strategy {
   public:
    bool after_epoch(Learner&, const TaskView&, std::int64_t epoch) override { return epoch == 2; }
    void after_task(Learner&, const TaskView&) override { ++tasks; }
    int tasks = 0;
  };
  Stops strategy;
  Bench bench(strategy, {.epochs = 5, .batch_size = 4});
  bench.train(task_of(toy_samples(1, 8)));
  CHECK(bench.sink.steps.size() == 4);
  CHECK(strategy.tasks == 1);
}

TEST_CASE("training is a function of the seed", "[train]") {
  const auto run = [](std::uint64_t seed, double dropout) {
    Recording strategy;
    Bench bench(strategy, {.epochs = 2, .batch_size = 4, .learning_rate = 1e-2}, seed, dropout);
    bench.train(task_of(toy_samples(1, 12)));
    return std::pair(bench.sink.losses(), strategy.after.back());
  };
  const auto first = run(5, 0.2), again = run(5, 0.2), other = run(6, 0.2), plain = run(5, 0);
  CHECK(first.first == again.first);
  CHECK(at::equal(first.second, again.second));
  CHECK(first.first != other.first);
  CHECK_FALSE(at::equal(first.second, other.second));
  CHECK(first.first != plain.first);
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

TEST_CASE("the trainer's state is the optimiser's and the step", "[train]") {
  Strategy plain;
  TrainOptions options{.batch_size = 4, .learning_rate = 1e-2, .optimizer_reset = "never"};
  Bench whole(plain, options), first(plain, options), second(plain, options);
  for (std::int64_t stage = 1; stage <= 2; ++stage) whole.train(task_of(toy_samples(stage, 8), stage));
  first.train(task_of(toy_samples(1, 8)));
  const auto file = std::filesystem::temp_directory_path() / ("mneme-trainer-" + std::to_string(::getpid()));
  StateSaver saver;
  saver.object("trainer", first.trainer);
  saver.object("bank", first.learner.bank());
  saver.write(file);
  StateLoader loader(file);
  loader.object("trainer", second.trainer);
  loader.object("bank", second.learner.bank());
  std::filesystem::remove(file);
  CHECK(second.learner.step() == 2);
  second.train(task_of(toy_samples(2, 8), 2));
  CHECK(at::equal(second.learner.bank().values(), whole.learner.bank().values()));
}
