// A sweep of real runs, killed and resumed: every run finishes, none is done twice, the results are those of a sweep
// that nobody disturbed.
#include <signal.h>

#include <map>

#include "core/base/file.h"
#include "core/base/random.h"
#include "core/launch/half_written.h"
#include "tests/e2e/study.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::test;
namespace fs = std::filesystem;
using launch::RunState;

namespace {

/// The sweep that nobody disturbs, computed once: what it results in, and how long it took.
struct Undisturbed {
  Study study;
  Results results;
  double seconds = 0;

  Undisturbed() {
    const launch::Captured done = study.mneme({"run", "exp.yaml", "--out", "out"});
    if (!done.ok()) throw std::runtime_error("the undisturbed sweep failed: " + done.error);
    results = study.results("out");
    seconds = done.exit.seconds;
  }
};

const Undisturbed& undisturbed() {
  static const Undisturbed sweep;
  return sweep;
}

/// Ends launcher and runs with SIGKILL: the launcher alone (the kernel then ends the runs), or the runs first.
void kill_sweep(const Study& study, launch::Child& launcher, bool runs_first) {
  if (runs_first && fs::exists(study / "out/runs.json")) {
    for (const auto& line : study.report("out").runs)
      if (line.entry.state == RunState::kRunning && line.report.attempt->process.pid > 0)
        ::kill(line.report.attempt->process.pid, SIGKILL);
  }
  launcher.signal(SIGKILL);
  wait_for(launcher);
}

/// Records of the runs that are done by now, byte for byte.
std::map<std::string, std::string> finished_records(const Study& study) {
  std::map<std::string, std::string> records;
  if (!fs::exists(study / "out/runs.json")) return records;
  for (const auto& line : study.report("out").runs)
    if (line.entry.state == RunState::kDone)
      records[line.entry.id] = read_file(study / "out" / line.entry.id / "run.h5");
  return records;
}

/// Starts the sweep, or goes on with it where it exists already.
launch::Child start_or_resume(const Study& study) {
  return fs::exists(study / "out/runs.json") ? study.start({"resume", "out"}, "launcher")
                                             : study.start({"run", "exp.yaml", "--out", "out"}, "launcher");
}

/// Resumes to the end and holds the outcome to the promise.
void check_resumed(const Study& study) {
  const auto before = finished_records(study);
  launch::Child launcher = start_or_resume(study);
  CHECK(wait_for(launcher).code == 0);
  const launch::SweepReport report = study.report("out");
  CHECK(report.state() == "done");
  CHECK(report.count(RunState::kDone) == 12);
  for (const auto& [id, bytes] : before) {
    CAPTURE(id);
    CHECK(read_file(study / "out" / id / "run.h5") == bytes);  // what was done was not touched again
  }
  CHECK(launch::half_written(study / "out", true).empty());
  const Results results = study.results("out");
  CHECK(results.table == undisturbed().results.table);
  CHECK(results.runs == undisturbed().results.runs);
}

/// Whether a process is writing a record or a checkpoint at this moment.
bool is_writing(const Study& study) {
  for (const fs::path& file : launch::half_written(study / "out", true)) {
    const std::string name = file.filename();
    if (name.starts_with("run.h5") || name.starts_with("state.safetensors")) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("a sweep killed with SIGKILL at any moment is resumed to the same results", "[kill]") {
  const double whole = undisturbed().seconds;
  RandomStream random(20, "moments");
  for (int round = 0; round < 6; ++round) {
    const Study study;
    const double moment = (round + random.uniform()) / 6 * whole;
    CAPTURE(round, moment);
    launch::Child launcher = start_or_resume(study);
    sleep_seconds(moment);
    kill_sweep(study, launcher, round % 2 == 1);
    check_resumed(study);
  }
}

TEST_CASE("a sweep killed twice, the second time while it is resumed", "[kill]") {
  const double whole = undisturbed().seconds;
  for (const double moment : {0.1, 0.3}) {
    const Study study;
    for (int kill = 0; kill < 2; ++kill) {
      launch::Child launcher = start_or_resume(study);
      sleep_seconds(moment * whole);
      kill_sweep(study, launcher, kill == 1);
    }
    check_resumed(study);
  }
}

TEST_CASE("a sweep killed while a record or a checkpoint is being written", "[kill]") {
  int caught = 0;
  for (int round = 0; round < 12 && caught < 1; ++round) {
    const Study study;
    launch::Child launcher = start_or_resume(study);
    // Not always the first file: let the sweep get somewhere.
    sleep_seconds(undisturbed().seconds * 0.15 * (1 + round % 4));
    bool ended = false;
    while (!is_writing(study) && !ended) ended = launcher.poll().has_value();
    if (ended) continue;
    kill_sweep(study, launcher, false);  // at once: a write takes milliseconds
    if (!is_writing(study)) continue;    // the file was finished in between
    ++caught;
    check_resumed(study);
  }
  CHECK(caught > 0);
}

TEST_CASE("a file extended and run again adds only the new runs", "[extend]") {
  Study study;
  study.write("small.yaml",
              std::string(Study::kTwelveRuns)
                  .replace(std::string(Study::kTwelveRuns).find("[seq, er, ewc, ilora]"), 21, "[seq, er]"));
  CHECK(study.mneme({"run", "small.yaml", "--out", "out"}).ok());
  const auto before = finished_records(study);
  REQUIRE(before.size() == 6);
  const launch::Captured extended = study.mneme({"run", "exp.yaml", "--out", "out", "--extend"});
  CHECK(extended.ok());
  CHECK(contains(extended.error, "6 run(s) added to 6"));
  for (const auto& [id, bytes] : before) CHECK(read_file(study / "out" / id / "run.h5") == bytes);
  CHECK(study.results("out").runs == undisturbed().results.runs);
}
