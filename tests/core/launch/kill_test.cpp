// Everything killed at random moments, then resumed: the promise that a sweep survives anything.
#include <sys/wait.h>

#include <csignal>
#include <thread>

#include "core/base/random.h"
#include "core/record/reader.h"
#include "tests/core/launch/fixture.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::launch;
using namespace mneme::launch::test;

namespace {
/// Creates the sweep or resumes it, in a process of its own.
int start_launcher(const fs::path& home, const SweepFiles& files) {
  const int pid = ::fork();
  if (pid != 0) return pid;
  try {
    const bool exists = fs::exists(home / "runs.json");
    auto sweep = exists ? SweepDirectory::open_locked(home) : SweepDirectory::create(home, files);
    const auto runs = unfinished_runs(reconcile(sweep), false);
    clear_orphans(sweep, runs);
    launch_fake(sweep, runs, quick_options(3));
    ::_exit(0);
  } catch (...) {
    ::_exit(99);
  }
}

/// Kills the launcher, or a run, or both.
void kill_something(int launcher, const fs::path& home, RandomStream& random) {
  const auto what = random.below(3);
  if (what != 0 && fs::exists(home / "runs.json")) {
    for (const auto& line : inspect_sweep(SweepDirectory::open(home)).runs) {
      if (line.entry.state == RunState::kRunning && random.below(2) == 0)
        ::kill(line.report.attempt->process.pid, SIGKILL);
    }
  }
  if (what != 1) ::kill(launcher, SIGKILL);
}
}  // namespace

TEST_CASE("killed anywhere and resumed, every run finishes once", "[kill]") {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    CAPTURE(seed);
    RandomStream random(seed, "kill");
    const TemporaryDirectory dir;
    const auto home = dir.path() / "out";
    const SweepFiles files = fake_sweep(std::vector<nlohmann::json>(8, {{"steps", 20}, {"step_ms", 1}}));
    int status = -1;
    for (int round = 0; round < 6; ++round) {
      const int pid = start_launcher(home, files);
      std::this_thread::sleep_for(std::chrono::microseconds(1000 + random.below(120000)));
      kill_something(pid, home, random);
      ::waitpid(pid, &status, 0);
      CHECK((WIFSIGNALED(status) || WEXITSTATUS(status) == 0));
    }
    ::waitpid(start_launcher(home, files), &status, 0);
    REQUIRE(WIFEXITED(status));
    REQUIRE(WEXITSTATUS(status) == 0);
    const auto sweep = SweepDirectory::open(home);
    CHECK(states(sweep) == std::vector<RunState>(8, RunState::kDone));
    CHECK(inspect_sweep(sweep).state() == "done");
    for (const auto& run : sweep.runs()) {
      // A second start after the end would have failed: the record refuses to be continued.
      CHECK(record::Record(sweep.run_path(run) / "run.h5").status() == RunStatus::kDone);
      CHECK(count_lines(sweep.run_path(run) / "steps.txt") >= 20);
    }
  }
}
