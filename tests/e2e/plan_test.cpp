// What `plan` foretells, held against what runs then take; and bad data found before anything starts.
#include <cmath>

#include "core/base/file.h"
#include "core/launch/cost.h"
#include "tests/e2e/study.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::test;
using Json = nlohmann::json;

namespace {
Json plan_of(const Study& study, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"plan", "exp.yaml"});
  arguments.insert(arguments.end(), {"--format", "json"});
  const launch::Captured plan = study.mneme(arguments);
  if (!plan.ok()) throw std::runtime_error(plan.error);
  return Json::parse(plan.output);
}

/// A data set of one file task.
void write_data(const Study& study, const std::string& split, const std::string& rows) {
  study.write("data/suite/TASK/" + split + ".json", rows);
}

const char* const kFiles = R"(defaults: [base, override /stream: suite, _self_]
name: files
sweep: {grid: {seed: [1, 2]}}
)";
const char* const kSuite = R"(kind: files
name: suite
root: data
directory: suite
tasks: {TASK: {metric: accuracy}}
)";
const char* const kGoodRows =
    R"([{"prompt": "one plus one is", "answer": "two"}, {"prompt": "two plus two is", "answer": "four"}])";
}  // namespace

TEST_CASE("plan learns time, memory and disk from finished runs and foretells other sizes", "[plan]") {
  const Study study;
  const Json before = plan_of(study, {"strategy=er,seq", "seed=1"});
  CHECK(before["runs"][0]["seconds"].is_null());
  CHECK(before["runs"][0]["memory_bytes"].get<double>() > 100e6);
  REQUIRE(study.mneme({"run", "exp.yaml", "strategy=er,seq", "seed=1,2", "--out", "small"}).ok());

  // Three times the epochs, twice the rows: nothing like it was seen.
  const std::vector<std::string> larger{"strategy=er,seq", "seed=3", "train.epochs=6", "stream.train_rows=48"};
  const Json plan = plan_of(study, larger);
  std::vector<std::string> arguments{"run", "exp.yaml", "--out", "large"};
  arguments.insert(arguments.end(), larger.begin(), larger.end());
  REQUIRE(study.mneme(arguments).ok());
  const auto report = study.report("large");
  for (std::size_t i = 0; i < 2; ++i) {
    const auto taken = launch::measure_run(study / "large" / report.runs[i].entry.id);
    const Json& foretold = plan["runs"][i];
    CAPTURE(foretold.dump(), taken.seconds, taken.peak_bytes, taken.disk_bytes);
    CHECK(foretold["id"] == report.runs[i].entry.id);
    CHECK_FALSE(foretold["rough"].get<bool>());
    // Time is the machine's to spoil, memory and disk are not.
    CHECK(std::abs(std::log2(foretold["seconds"].get<double>() / taken.seconds)) < 2);
    CHECK(foretold["memory_bytes"].get<double>() == Approx(static_cast<double>(taken.peak_bytes)).epsilon(0.25));
    CHECK(foretold["disk_bytes"].get<double>() == Approx(static_cast<double>(taken.disk_bytes)).epsilon(0.25));
  }
  // A strategy that never ran is guessed from the others, and marked so.
  CHECK(plan_of(study, {"strategy=ewc", "seed=1"})["runs"][0]["rough"] == true);
}

TEST_CASE("bad rows and absent files are found before anything starts, with file and row", "[plan]") {
  const Study study(kFiles);
  study.write("stream/suite.yaml", kSuite);
  const auto refused = [&](const std::string& message) {
    const launch::Captured run = study.mneme({"run", "exp.yaml", "--out", "out"});
    CAPTURE(run.error, message);
    CHECK(run.exit.code == 1);
    CHECK(contains(run.error, message));
    CHECK_FALSE(std::filesystem::exists(study / "out"));
    CHECK(study.mneme({"plan", "exp.yaml"}).exit.code == 1);
  };
  refused("data/suite/TASK/train.json");
  for (const char* split : {"train", "eval", "test"}) write_data(study, split, kGoodRows);
  CHECK(study.mneme({"plan", "exp.yaml"}).ok());
  write_data(study, "test", R"([{"prompt": "one plus one is", "answer": "two"}, {"prompt": "two", "answer": " "}])");
  refused("test.json: test row 1: \"answer\" is empty");
  write_data(study, "test", R"([{"prompt": "one plus one is", "answer": "two"})");
  refused("test.json:1:");
  write_data(study, "test", kGoodRows);
  CHECK(study.mneme({"plan", "exp.yaml"}).ok());  // what was found bad is looked at again
}

TEST_CASE("a thousand real runs are planned within seconds", "[plan]") {
  const Study study;
  plan_of(study, {"seed=1"});  // caches
  const launch::Captured plan =
      study.mneme({"plan", "exp.yaml", "strategy=seq,er,ewc,ilora", "seed=range(1,251)", "--format", "json"});
  CHECK(Json::parse(plan.output)["runs"].size() == 1000);
  WARN("a thousand runs were planned in " << plan.exit.seconds << " s (wall)");
  CHECK(plan.exit.seconds < 20);
}
