// Real runs that end badly in every way: each costs itself, none costs the sweep.
#include "core/base/file.h"
#include "core/record/reader.h"
#include "tests/e2e/study.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::test;
using launch::RunState;

namespace {
/// The run with this override.
const launch::RunEntry& run_with(const std::vector<launch::RunEntry>& runs, const std::string& override) {
  for (const auto& run : runs)
    if (std::find(run.overrides.begin(), run.overrides.end(), override) != run.overrides.end()) return run;
  throw std::runtime_error("no run has the override " + override);
}
}  // namespace

TEST_CASE("one run aborts, one throws, one runs out of memory: the other nine finish", "[failures]") {
  const Study study(R"(defaults: [base, _self_]
name: failures
stream: {order: [opinion, science], train_rows: 16, eval_rows: 4, test_rows: 4}
train: {batch_size: 4, max_length: 256}
launcher: {jobs: 2, threads: 1, pin: false}
sweep:
  blocks:
    - grid: {strategy: misbehave, strategy.how: [abort, throw, memory]}
    - grid: {strategy: [seq, er, ewc], seed: [1, 2, 3]}
)");
  const launch::Captured done = study.mneme({"run", "exp.yaml", "--out", "out"});
  INFO(done.error);
  CHECK(done.exit.code == 1);
  const auto report = study.report("out");
  REQUIRE(report.runs.size() == 12);
  CHECK(report.count(RunState::kDone) == 9);
  CHECK(report.count(RunState::kFailed) == 3);
  CHECK(contains(done.error, "9 of 12 run(s) done, 3 failed"));

  const auto runs = study.sweep("out").runs();
  const std::map<std::string, std::string> reasons{{"strategy.how=abort", "aborted (SIGABRT)"},
                                                   {"strategy.how=throw", "exit code 1: the basis is singular"},
                                                   {"strategy.how=memory", "out of memory"}};
  for (const auto& [override, reason] : reasons) {
    const auto& run = run_with(runs, override);
    CAPTURE(override, run.reason);
    CHECK(run.state == RunState::kFailed);
    CHECK(contains(run.reason, reason));
    // The summary names the run with its reason and shows where its log ends.
    CHECK(contains(done.error, "failed " + run.id));
    CHECK(contains(done.error, run.reason));
    CHECK(contains(done.error, "the end of out/" + run.id + "/run.log:"));
    // The record of what came before is whole, and says how it ended.
    const record::Record record(study / "out" / run.id / "run.h5");
    CHECK(record.status() == RunStatus::kFailed);
    CHECK(contains(run.reason, record.error()));
    CHECK(!record.error().empty());
  }
  CHECK(contains(done.error, "task 2/2 'science'"));  // a last log line
  CHECK(contains(done.error, "go on with: mneme resume out"));
  CHECK(contains(done.output, "aa.last"));  // the table of the nine
}

TEST_CASE("a run that exits or diverges on its own is told from one that failed", "[failures]") {
  const Study study(R"(defaults: [base, _self_]
name: failures
stream: {order: [opinion, science], train_rows: 16, eval_rows: 4, test_rows: 4}
train: {batch_size: 4, max_length: 256}
launcher: {jobs: 2, threads: 1, pin: false}
sweep: {grid: {strategy: misbehave, strategy.how: [exit, diverge, not]}}
)");
  CHECK(study.mneme({"run", "exp.yaml", "--out", "out"}).exit.code == 1);
  const auto runs = study.sweep("out").runs();
  CHECK(run_with(runs, "strategy.how=exit").reason == "exit code 9");
  CHECK(run_with(runs, "strategy.how=diverge").state == RunState::kDiverged);
  CHECK(contains(run_with(runs, "strategy.how=diverge").reason, "the loss is nan at step 7"));
  CHECK(run_with(runs, "strategy.how=not").state == RunState::kDone);
}
