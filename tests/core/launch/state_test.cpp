#include "core/launch/run_state.h"
#include "core/record/writer.h"
#include "tests/core/launch/fixture.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::launch;
using namespace mneme::launch::test;

namespace {
void write_record(const fs::path& directory, RunStatus status, const std::string& error) {
  record::RecordWriter writer(directory / "run.h5");
  RunInfo info;
  info.run_id = "000000000001";
  info.config = "seed: 1\n";
  info.overrides = "[]";
  writer.begin(info);
  if (status != RunStatus::kRunning) writer.end(status, error);
}

Attempt dead_attempt() {
  Attempt attempt;
  attempt.process = this_process();
  --attempt.process.start_ticks;
  attempt.started = utc_now();
  return attempt;
}
}  // namespace

TEST_CASE("a run's state follows from its files", "[state]") {
  const TemporaryDirectory dir;
  const auto& home = dir.path();
  CHECK(inspect_run(home).state == RunState::kPending);

  Attempt attempt = dead_attempt();
  write_attempt(home, attempt);
  CHECK(inspect_run(home).state == RunState::kInterrupted);

  attempt.process = this_process();
  write_attempt(home, attempt);
  CHECK(inspect_run(home).state == RunState::kRunning);

  Ending ending;
  ending.state = RunState::kFailed;
  ending.reason = "exit code 9";
  ending.exit_code = 9;
  write_ending(home, ending);
  CHECK(inspect_run(home).state == RunState::kFailed);
  CHECK(inspect_run(home).reason == "exit code 9");
}

TEST_CASE("a run whose end nobody saw is judged by its record", "[state]") {
  const auto state_with = [](RunStatus status, const std::string& error) {
    const TemporaryDirectory dir;
    write_attempt(dir.path(), dead_attempt());
    write_record(dir.path(), status, error);
    return inspect_run(dir.path());
  };
  CHECK(state_with(RunStatus::kDone, "").state == RunState::kDone);
  CHECK(state_with(RunStatus::kDiverged, "nan").state == RunState::kDiverged);
  CHECK(state_with(RunStatus::kDiverged, "nan").reason == "nan");
  CHECK(state_with(RunStatus::kFailed, "x").state == RunState::kInterrupted);
  CHECK(state_with(RunStatus::kRunning, "").state == RunState::kInterrupted);

  const TemporaryDirectory dir;
  write_attempt(dir.path(), dead_attempt());
  write_file_atomically(dir.path() / "run.h5", "no HDF5");
  CHECK(inspect_run(dir.path()).state == RunState::kInterrupted);
  // A finished record counts only as long as it is whole.
  fs::remove(dir.path() / "run.h5");
  write_record(dir.path(), RunStatus::kDone, "");
  CHECK(inspect_run(dir.path()).state == RunState::kDone);
  const std::string whole = read_file(dir.path() / "run.h5");
  for (const std::size_t length : {std::size_t{0}, std::size_t{300}, whole.size() / 2, whole.size() - 1}) {
    write_file_atomically(dir.path() / "run.h5", whole.substr(0, length));
    CHECK(inspect_run(dir.path()).state == RunState::kInterrupted);
  }
}

TEST_CASE("a run that was killed after its record was done is done", "[state]") {
  const auto state_with = [](RunStatus status, RunState ended) {
    const TemporaryDirectory dir;
    write_attempt(dir.path(), dead_attempt());
    write_record(dir.path(), status, "");
    write_ending(dir.path(), {.state = ended, .reason = "ended by SIGKILL", .signal = 9, .finished = utc_now()});
    return inspect_run(dir.path());
  };
  for (const RunState ended : {RunState::kFailed, RunState::kInterrupted}) {
    CHECK(state_with(RunStatus::kDone, ended).state == RunState::kDone);
    CHECK(state_with(RunStatus::kDone, ended).reason.empty());
    CHECK(state_with(RunStatus::kDiverged, ended).state == RunState::kDiverged);
    CHECK(state_with(RunStatus::kFailed, ended).state == ended);
    CHECK(state_with(RunStatus::kRunning, ended).reason == "ended by SIGKILL");
  }
}

TEST_CASE("files that are cut off count as not written", "[state]") {
  const TemporaryDirectory dir;
  write_file_atomically(dir.path() / "process.json", "{\"pid\": 1");
  write_file_atomically(dir.path() / "progress.json", "[]");
  write_file_atomically(dir.path() / "exit.json", "{\"status\": \"nonsense\"}");
  CHECK_FALSE(read_attempt(dir.path()));
  CHECK_FALSE(read_progress(dir.path()));
  CHECK_FALSE(read_ending(dir.path()));
  CHECK(inspect_run(dir.path()).state == RunState::kPending);
}

TEST_CASE("progress is read with what is missing left at its default", "[state]") {
  const TemporaryDirectory dir;
  write_file_atomically(
      dir.path() / "progress.json",
      R"({"phase": "train", "task": 2, "tasks": 8, "step": 3, "done": 5.5, "total": 11, "eta_seconds": null})");
  const auto progress = read_progress(dir.path());
  REQUIRE(progress);
  CHECK(progress->phase == "train");
  CHECK(progress->eta_seconds < 0);
  CHECK(progress->step == 3);
  CHECK(progress->steps == 0);
  CHECK(progress_fraction(*progress) == Approx(0.5));
}

TEST_CASE("the end of a log is that of the latest attempt, as a terminal would show it", "[state]") {
  const TemporaryDirectory dir;
  const std::string old = "old failure\n";
  write_file_atomically(dir.path() / "run.log", old + "\none\n 10%\r 50%\r100%\nlast");
  Attempt attempt = dead_attempt();
  attempt.log_start = static_cast<std::int64_t>(old.size());
  write_attempt(dir.path(), attempt);
  CHECK(last_log_lines(dir.path(), 8) == std::vector<std::string>{"one", "100%", "last"});
  CHECK(last_log_lines(dir.path(), 1) == std::vector<std::string>{"last"});
  CHECK(last_log_lines(dir.path() / "none", 8).empty());
}

TEST_CASE("times are written and read", "[state]") {
  CHECK(seconds_since_epoch("1970-01-02T00:00:01Z") == 86401);
  CHECK(seconds_since_epoch("nonsense") < 0);
  CHECK(seconds_since_epoch(utc_now()) > 1.7e9);
}

TEST_CASE("states have names", "[state]") {
  for (const auto state : {RunState::kPending, RunState::kQueued, RunState::kRunning, RunState::kDone,
                           RunState::kFailed, RunState::kDiverged, RunState::kInterrupted}) {
    CHECK(parse_state(to_string(state)) == state);
  }
  CHECK_FALSE(parse_state("Done"));
}
