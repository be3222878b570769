#include "core/launch/cost.h"

#include "tests/core/launch/fixture.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::launch;
using namespace mneme::launch::test;

namespace {
RunFacts facts_of(double train, double eval, const std::string& strategy = "er") {
  RunFacts facts;
  facts.strategy = strategy;
  facts.family = "nano fp32 lora";
  facts.train_work = train;
  facts.eval_work = eval;
  facts.first_work = eval / 4;
  facts.memory_bytes = 1000;
  facts.disk_bytes = 100;
  return facts;
}

/// A run of facts_of(10, 4): training at `rate` seconds per unit, answers at 1, a start of 5 seconds.
Measured measured_at(double rate) { return {10 * rate + 4 + 1 + 5, 10 * rate, 4, 1500, 50}; }
}  // namespace

TEST_CASE("facts are read, unknown ones left out", "[cost]") {
  const auto facts =
      read_facts(R"([{"id": "a", "train_work": 3, "family": "k", "memory_bytes": 7, "disk_bytes": "x"}, {}, 5])");
  REQUIRE(facts.size() == 3);
  CHECK(facts[0].id == "a");
  CHECK(facts[0].train_work == 3);
  CHECK(facts[0].memory_bytes == 7);
  CHECK(facts[0].disk_bytes == 0);
  CHECK(facts[1].train_work == 0);
  CHECK(read_facts("no json").empty());
}

TEST_CASE("a run is predicted from runs of its strategy and family at its place", "[cost]") {
  const TemporaryDirectory dir;
  const auto file = dir.path() / "cache" / "calibration.json";
  Calibration first(file);
  CHECK_FALSE(first.predict(facts_of(10, 4), "here").seconds);
  CHECK(first.predict(facts_of(10, 4), "here").memory_bytes == 1000);  // as foreseen
  first.learn(facts_of(10, 4), "here", measured_at(2));
  first.learn(facts_of(10, 4), "here", measured_at(3));
  first.learn(facts_of(10, 4), "here", measured_at(1000));  // an outlier
  first.save();
  Calibration other(file);
  other.learn(facts_of(10, 4, "ewc"), "here", measured_at(7));
  other.save();
  const Calibration read(file);
  const Prediction er = read.predict(facts_of(100, 8), "here");
  CHECK(*er.seconds == Approx(5 + 100 * 3 + 8 + 2));
  CHECK_FALSE(er.rough);
  CHECK(er.memory_bytes == 1500);
  CHECK(er.disk_bytes == 50);
  CHECK(*read.predict(facts_of(100, 8, "ewc"), "here").seconds == Approx(5 + 100 * 7 + 8 + 2));
  const Prediction unknown = read.predict(facts_of(100, 8, "kif"), "here");
  CHECK(unknown.rough);
  CHECK(*unknown.seconds == Approx(5 + 100 * 7 + 8 + 2));  // the upper median of 2, 3, 7 and 1000
  CHECK_FALSE(read.predict(facts_of(100, 8), "elsewhere").seconds);
  CHECK_FALSE(read.predict(facts_of(0, 0), "here").seconds);
}

TEST_CASE("a resumed run teaches everything but the time of the start", "[cost]") {
  const TemporaryDirectory dir;
  Calibration calibration(dir.path() / "c.json");
  Measured resumed = measured_at(2);
  resumed.seconds = 0;
  calibration.learn(facts_of(10, 4), "here", resumed);
  CHECK(*calibration.predict(facts_of(10, 4), "here").seconds == Approx(20 + 4 + 1));
}

TEST_CASE("a calibration that is damaged counts as empty and does not grow without end", "[cost]") {
  const TemporaryDirectory dir;
  const auto file = dir.path() / "calibration.json";
  write_file_atomically(file, "{\"here | nano fp32 lora\": [1, {\"train\": \"x\"}], \"b\": 3");
  Calibration calibration(file);
  CHECK_FALSE(calibration.predict(facts_of(1, 1), "here").seconds);
  for (int i = 1; i <= 100; ++i) calibration.learn(facts_of(10, 4, i % 2 == 0 ? "er" : "ewc"), "here", measured_at(i));
  calibration.save();
  CHECK(nlohmann::json::parse(read_file(file))["here | nano fp32 lora"].size() == 40);
  CHECK(*Calibration(file).predict(facts_of(10, 4), "here").seconds > 70 * 10);  // the latest remain
}

TEST_CASE("a plan costs what its runs cost, side by side", "[cost]") {
  const std::vector<Prediction> runs{{4.0, false, 10, 5}, {1.0, false, 20, 5}, {2.0, true, 30, 5}};
  const PlanCost cost = plan_cost(runs, 2);
  CHECK(cost.run_seconds == 7);
  CHECK(cost.wall_seconds == 4);  // 4 beside 1 and 2
  CHECK(cost.memory_bytes == 30);
  CHECK(cost.disk_bytes == 15);
  CHECK(plan_cost(runs, 1).wall_seconds == 7);
  CHECK(plan_cost({runs[0], {}, runs[2]}, 1).wall_seconds < 0);
  CHECK(plan_cost({}, 4).wall_seconds < 0);
}

TEST_CASE("what a run's time depends on names the place", "[cost]") {
  LauncherOptions options = options_of({{"threads", 2}});
  CHECK(contains(calibration_place(options), "2 thread(s)"));
  options = options_of({{"name", "slurm"}, {"partition", "long"}, {"gpus", 1}});
  CHECK(calibration_place(options) == "slurm long, 1 thread(s), GPU");
}
