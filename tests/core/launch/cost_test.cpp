#include "core/launch/cost.h"

#include "tests/core/launch/fixture.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::launch;
using namespace mneme::launch::test;

namespace {
RunFacts facts_of(double work, const std::string& kind = "train") {
  RunFacts facts;
  facts.work = work;
  facts.work_kind = kind;
  return facts;
}
}  // namespace

TEST_CASE("facts are read, unknown ones left out", "[cost]") {
  const auto facts =
      read_facts(R"([{"id": "a", "work": 3, "work_kind": "k", "memory_bytes": 7, "disk_bytes": "x"}, {}, 5])");
  REQUIRE(facts.size() == 3);
  CHECK(facts[0].id == "a");
  CHECK(facts[0].work == 3);
  CHECK(facts[0].memory_bytes == 7);
  CHECK(facts[0].disk_bytes == 0);
  CHECK(facts[1].work == 0);
  CHECK(read_facts("no json").empty());
}

TEST_CASE("the time of a run is predicted from runs of its kind at its place", "[cost]") {
  const TemporaryDirectory dir;
  const auto file = dir.path() / "cache" / "calibration.json";
  Calibration first(file);
  CHECK_FALSE(first.seconds(facts_of(10), "here"));
  first.learn(facts_of(10), "here", 20);   // 2 seconds per unit
  first.learn(facts_of(10), "here", 30);   // 3
  first.learn(facts_of(1), "here", 1000);  // a slow outlier
  first.save();
  Calibration other(file);
  other.learn(facts_of(5, "score"), "here", 5);
  other.save();
  const Calibration read(file);
  CHECK(read.seconds(facts_of(100), "here") == 300.0);
  CHECK(read.seconds(facts_of(7, "score"), "here") == 7.0);
  CHECK_FALSE(read.seconds(facts_of(100), "elsewhere"));
  CHECK_FALSE(read.seconds(facts_of(0), "here"));
}

TEST_CASE("a calibration that is damaged counts as empty and does not grow without end", "[cost]") {
  const TemporaryDirectory dir;
  const auto file = dir.path() / "calibration.json";
  write_file_atomically(file, "{\"here | train\": [1, \"x\"], \"b\": 3");
  Calibration calibration(file);
  CHECK_FALSE(calibration.seconds(facts_of(1), "here"));
  for (int i = 1; i <= 100; ++i) calibration.learn(facts_of(1), "here", i);
  calibration.save();
  CHECK(nlohmann::json::parse(read_file(file))["here | train"].size() == 20);
}

TEST_CASE("a plan costs what its runs cost, side by side", "[cost]") {
  std::vector<RunFacts> facts(3);
  for (std::size_t i = 0; i < 3; ++i) {
    facts[i].memory_bytes = static_cast<std::int64_t>(10 * (i + 1));
    facts[i].disk_bytes = 5;
  }
  const PlanCost cost = plan_cost(facts, {4.0, 1.0, 2.0}, 2);
  CHECK(cost.run_seconds == 7);
  CHECK(cost.wall_seconds == 4);  // 4 beside 1 and 2
  CHECK(cost.memory_bytes == 30);
  CHECK(cost.disk_bytes == 15);
  CHECK(plan_cost(facts, {4.0, 1.0, 2.0}, 1).wall_seconds == 7);
  CHECK(plan_cost(facts, {4.0, std::nullopt, 2.0}, 1).wall_seconds < 0);
  CHECK(plan_cost({}, {}, 4).wall_seconds < 0);
}

TEST_CASE("what a run's time depends on names the place", "[cost]") {
  LauncherOptions options = options_of({{"threads", 2}});
  CHECK(contains(calibration_place(options), "2 thread(s)"));
  options = options_of({{"name", "slurm"}, {"partition", "long"}, {"gpus", 1}});
  CHECK(calibration_place(options) == "slurm long, 1 thread(s), GPU");
}
