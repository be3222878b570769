#include "core/launch/local.h"

#include <sys/wait.h>

#include <csignal>
#include <thread>

#include "core/launch/validate.h"
#include "tests/core/launch/fixture.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::launch;
using namespace mneme::launch::test;

namespace {
/// Launches in a process of its own, which a test may signal; its exit code tells how the launch ended.
int launch_in_child(const fs::path& home, const SweepFiles& files, const LauncherOptions& options) {
  const int pid = ::fork();
  if (pid != 0) return pid;
  try {
    auto sweep = SweepDirectory::create(home, files);
    ::_exit(launch_fake(sweep, sweep.runs(), options).interrupted ? 10 : 0);
  } catch (...) {
    ::_exit(99);
  }
}

void wait_until_running(const fs::path& home, std::size_t runs) {
  for (int i = 0; i < 2000; ++i) {
    if (fs::exists(home / "runs.json") && inspect_sweep(SweepDirectory::open(home)).count(RunState::kRunning) == runs) {
      std::size_t in_progress = 0;
      for (const auto& entry : fs::directory_iterator(home)) in_progress += fs::exists(entry.path() / "progress.json");
      if (in_progress == runs) return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  FAIL("the runs did not start");
}

int exit_code_of(int pid) {
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}
}  // namespace

TEST_CASE("all runs of a sweep are done, side by side", "[local]") {
  const TemporaryDirectory dir;
  auto sweep = SweepDirectory::create(dir.path() / "out", fake_sweep(std::vector<nlohmann::json>(6, {{"steps", 3}})));
  std::string output;
  const auto result = launch_fake(sweep, sweep.runs(), quick_options(2), &output);
  CHECK_FALSE(result.interrupted);
  CHECK(states(sweep) == std::vector<RunState>(6, RunState::kDone));
  const auto json = nlohmann::json::parse(read_file(dir.path() / "out" / "runs.json"));
  for (const auto& run : json) CHECK(run["status"] == "done");
  CHECK(contains(output, "done     000000000006  seed=6"));
  CHECK(contains(output, "(6 of 6 done)"));
  CHECK(contains(read_file(dir.path() / "out" / "000000000001" / "run.log"), "threads 1 gpus"));
  CHECK(contains(read_file(dir.path() / "out" / "000000000001" / "run.log"),
                 "cwd " + fs::temp_directory_path().string()));
  CHECK(fs::exists(dir.path() / "out" / "000000000001" / "run.h5"));
}

TEST_CASE("every way to fail costs one run and is named", "[local]") {
  const TemporaryDirectory dir;
  std::vector<nlohmann::json> sections;
  for (const char* how : {"exit", "throw", "abort", "segv", "kill", "diverge", "memory", "ok"}) {
    sections.push_back({{"behave", how}, {"steps", 2}});
  }
  auto sweep = SweepDirectory::create(dir.path() / "out", fake_sweep(sections));
  launch_fake(sweep, sweep.runs(), quick_options(4));
  const auto& runs = sweep.runs();
  CHECK(runs[0].reason == "exit code 7: the fake was told to fail");
  CHECK(runs[1].reason == "exit code 1: the fake was told to throw");
  CHECK(runs[2].reason == "aborted (SIGABRT)");
  CHECK(runs[3].reason == "crashed (SIGSEGV: invalid memory access)");
  CHECK(contains(runs[4].reason, "killed by SIGKILL"));
  CHECK(runs[5].state == RunState::kDiverged);
  CHECK(runs[5].reason == "loss is nan at step 3");
  CHECK(runs[6].state == RunState::kFailed);
  CHECK(runs[7].state == RunState::kDone);
  CHECK(last_log_lines(dir.path() / "out" / runs[1].id, 1)[0] == "mneme-run: the fake was told to throw");
  CHECK(contains(last_log_lines(dir.path() / "out" / runs[6].id, 1)[0], "bad_alloc"));
}

TEST_CASE("an exit is judged by the contract", "[local]") {
  const auto judge = [](int code, int signal, bool memory) {
    ProcessExit exit;
    exit.code = code;
    exit.signal = signal;
    exit.peak_bytes = std::int64_t{3} << 30;
    return judge_exit(exit, memory);
  };
  CHECK(judge(0, 0, false).state == RunState::kDone);
  CHECK(judge(3, 0, false).state == RunState::kDiverged);
  CHECK(judge(130, 0, false).state == RunState::kInterrupted);
  CHECK(judge(2, 0, false).reason == "exit code 2");
  CHECK(judge(0, SIGKILL, true).reason == "out of memory: killed by the kernel, peak 3.0 GiB");
  CHECK(judge(0, SIGKILL, false).reason == "killed by SIGKILL, not by mneme, peak 3.0 GiB");
  CHECK(judge(0, SIGTERM, true).reason == "ended by SIGTERM");
}

TEST_CASE("on_error: stop starts nothing more", "[local]") {
  const TemporaryDirectory dir;
  auto sweep =
      SweepDirectory::create(dir.path() / "out", fake_sweep({{{"behave", "exit"}}, {{"steps", 1}}, {{"steps", 1}}}));
  LauncherOptions options = quick_options(1);
  options.stop_on_error = true;
  CHECK(launch_fake(sweep, sweep.runs(), options).stopped_on_error);
  CHECK(states(sweep) == std::vector<RunState>{RunState::kFailed, RunState::kPending, RunState::kPending});
}

TEST_CASE("a runner that is not there fails each run with the reason", "[local]") {
  const TemporaryDirectory dir;
  auto sweep = SweepDirectory::create(dir.path() / "out", fake_sweep({{{"steps", 1}}}));
  Runner runner = fake_runner();
  runner.program = "/no/such/mneme-run";
  const TextFile out;
  SweepView view(out.get(), false);
  launch_local(sweep, sweep.runs(), quick_options(1), runner, view);
  CHECK(sweep.runs()[0].state == RunState::kFailed);
  CHECK(contains(sweep.runs()[0].reason, "/no/such/mneme-run: cannot be started: No such file or directory"));
}

TEST_CASE("the first Ctrl-C lets runs save, and resuming finishes them from their checkpoints", "[local]") {
  const TemporaryDirectory dir;
  const auto home = dir.path() / "out";
  const int pid = launch_in_child(home, fake_sweep(std::vector<nlohmann::json>(3, {{"steps", 300}})), quick_options(2));
  wait_until_running(home, 2);
  ::kill(pid, SIGINT);
  CHECK(exit_code_of(pid) == 10);
  auto sweep = SweepDirectory::open_locked(home);
  CHECK(states(sweep) == std::vector<RunState>{RunState::kInterrupted, RunState::kInterrupted, RunState::kPending});
  CHECK(sweep.runs()[0].reason == "stopped by the user");
  CHECK(inspect_sweep(sweep).count(RunState::kInterrupted) == 2);
  launch_fake(sweep, unfinished_runs(reconcile(sweep), false), quick_options(2));
  CHECK(states(sweep) == std::vector<RunState>(3, RunState::kDone));
  CHECK(sweep.runs()[0].attempts == 2);
}

TEST_CASE("a run that ignores requests to stop is killed after a while, at once by a second Ctrl-C", "[local]") {
  for (const bool twice : {false, true}) {
    const TemporaryDirectory dir;
    const auto home = dir.path() / "out";
    LauncherOptions options = quick_options(1);
    options.stop_seconds = twice ? 60 : 0.4;
    const int pid = launch_in_child(home, fake_sweep({{{"behave", "deaf"}, {"at", 1}}}), options);
    wait_until_running(home, 1);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    ::kill(pid, SIGINT);
    if (twice) {
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
      ::kill(pid, SIGINT);
    }
    CHECK(exit_code_of(pid) == 10);
    const auto sweep = SweepDirectory::open(home);
    CHECK(sweep.runs()[0].state == RunState::kInterrupted);
    CHECK(sweep.runs()[0].reason == "stopped by the user; it had to be killed");
  }
}

TEST_CASE("a failed run is tried again on resuming, a diverged one only if asked for", "[local]") {
  const TemporaryDirectory dir;
  auto sweep = SweepDirectory::create(
      dir.path() / "out",
      fake_sweep({{{"behave", "abort"}, {"attempts", 1}}, {{"behave", "diverge"}}, {{"steps", 1}}}));
  launch_fake(sweep, sweep.runs(), quick_options(2));
  CHECK(states(sweep) == std::vector<RunState>{RunState::kFailed, RunState::kDiverged, RunState::kDone});
  CHECK(unfinished_runs(reconcile(sweep), true).size() == 2);
  launch_fake(sweep, unfinished_runs(reconcile(sweep), false), quick_options(2));
  CHECK(states(sweep) == std::vector<RunState>{RunState::kDone, RunState::kDiverged, RunState::kDone});
  CHECK(count_lines(dir.path() / "out" / "000000000003" / "starts.txt") == 1);
}

TEST_CASE("the full program checks the runs before any is started", "[validate]") {
  const auto facts =
      nlohmann::json::parse(validate_runs(fake_runner(), {{"a", R"({"fake": {"memory_bytes": 7}})"}, {"b", "{}"}}));
  REQUIRE(facts.size() == 2);
  CHECK(facts[0]["memory_bytes"] == 7);
  CHECK(message_of([] {
          validate_runs(fake_runner(), {{"a", R"({"fake": {"invalid": "no such data"}})"}, {"b", "{}"}});
        }) == "run a: no such data");
  Runner crashing = fake_runner();
  crashing.program = "/bin/false";
  CHECK(message_of([&] { validate_runs(crashing, {{"a", "{}"}}); }) == "the check of the runs failed with exit code 1");
}
