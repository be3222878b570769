#include "core/train/trainer.h"

#include <ATen/ATen.h>

#include "tests/core/train/train_bench.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"

using namespace mneme;
using namespace mneme::test;

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
    void before_phase(Learner&, const TaskView&, std::int64_t index) override {
      log += "P" + std::to_string(index) + " ";
    }
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

TEST_CASE("a rehearsal runs once, before the first step, and leaves no trace", "[train]") {
  const auto run = [](const Dataset& rehearsal) {
    Recording strategy;
    Bench bench(strategy, {.epochs = 1, .batch_size = 4, .learning_rate = 1e-2}, 5, 0.2);
    bench.trainer.rehearse(rehearsal);
    for (const std::int64_t stage : {1, 2}) bench.train(task_of(toy_samples(stage, 8), stage));
    return std::tuple(bench.sink.losses(), strategy.after.back().clone(), bench.learner.work().flops);
  };
  const auto plain = run({}), rehearsed = run(uneven_samples(6));
  CHECK(std::get<0>(plain) == std::get<0>(rehearsed));
  CHECK(at::equal(std::get<1>(plain), std::get<1>(rehearsed)));
  CHECK(std::get<2>(plain) == std::get<2>(rehearsed));
  // Beside a parameter that no pass uses by itself.
  class WithFree final : public Recording {
   public:
    void attach(Learner& learner) override {
      trained_ = learner.create_adapter("default");
      learner.bank().set_trainable({trained_, learner.bank().create_free("gate", {3})});
    }
    Terms loss(Learner& learner, const StepBatch& step) override {
      return {learner.cross_entropy(with_adapters({trained_}), step.current())};
    }

   private:
    AdapterId trained_ = 0;
  } with_free;
  Bench beside(with_free, {.epochs = 1, .batch_size = 4});
  beside.trainer.rehearse(uneven_samples(6));
  CHECK_NOTHROW(beside.train(task_of(toy_samples(1, 8))));
  // A token that the model does not have shows that the samples are run, and when.
  Recording strategy;
  Bench bench(strategy, {.epochs = 1, .batch_size = 4});
  bench.trainer.rehearse({std::make_shared<const Sample>(Sample{.tokens = {1, 1 << 20}, .first_label = 1})});
  CHECK_THROWS(bench.train(task_of(toy_samples(1, 8))));
  CHECK(bench.sink.steps.empty());
}

TEST_CASE("the trainer's state is the optimiser's and the step", "[train]") {
  Strategy plain;
  TrainOptions options{.batch_size = 4, .learning_rate = 1e-2, .optimizer_reset = "never"};
  Bench whole(plain, options), first(plain, options), second(plain, options);
  for (std::int64_t stage = 1; stage <= 2; ++stage) whole.train(task_of(toy_samples(stage, 8), stage));
  first.train(task_of(toy_samples(1, 8)));
  const TemporaryDirectory directory("trainer");
  StateSaver saver;
  saver.object("trainer", first.trainer);
  saver.object("bank", first.learner.bank());
  saver.write(directory / "state");
  StateLoader loader(directory / "state");
  loader.object("trainer", second.trainer);
  loader.object("bank", second.learner.bank());
  CHECK(second.learner.step() == 2);
  second.train(task_of(toy_samples(2, 8), 2));
  CHECK(at::equal(second.learner.bank().values(), whole.learner.bank().values()));
}
