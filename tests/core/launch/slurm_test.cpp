// Against a real one-node Slurm of its own (tests/support/slurm-one-node); skipped where its packages are missing.
#include "core/launch/slurm.h"

#include <csignal>
#include <functional>
#include <sstream>
#include <thread>

#include "core/base/error.h"
#include "core/launch/slurm_queue.h"
#include "tests/core/launch/fixture.h"
#include "tests/support/catch.h"
#include "tests/support/slurm_cluster.h"

using namespace mneme;
using namespace mneme::launch;
using namespace mneme::launch::test;
using Json = nlohmann::json;

namespace {

bool no_cluster() {
  static const mneme::test::SlurmCluster cluster;
  if (cluster.running()) {
    ::setenv("MNEME_RUNNER", fake_runner().program.c_str(), 1);
    return false;
  }
  WARN(mneme::test::SlurmCluster::kSkipped);
  return true;
}

/// A sweep on disk with its settings.
struct SlurmSweep {
  TemporaryDirectory dir;
  Settings settings;
  SweepDirectory sweep;
  std::string output;

  SlurmSweep(const std::vector<Json>& sections, const Json& launcher)
      : settings(settings_of(launcher)), sweep(create(dir.path() / "out", sections, settings)) {}

  static Settings settings_of(Json launcher) {
    Settings settings;
    settings.experiment = "test";
    settings.working_directory = fs::temp_directory_path();
    launcher["name"] = "slurm";
    settings.launcher = options_of(launcher);
    return settings;
  }

  static SweepDirectory create(const fs::path& home, const std::vector<Json>& sections, const Settings& settings) {
    SweepFiles files = fake_sweep(sections);
    files.settings_json = to_json(settings);
    return SweepDirectory::create(home, files);
  }

  static fs::path program() { return fs::path(MNEME_BINARY_DIR) / "bin" / "mneme"; }

  void submit(const std::vector<RunEntry>& runs) {
    with_view([&](SweepView& view) { submit_to_slurm(sweep, runs, {settings, program()}, view); });
  }
  void watch() {
    with_view([&](SweepView& view) { watch_slurm(sweep, settings, program(), view); });
  }
  void with_view(const std::function<void(SweepView&)>& work) {
    const TextFile out;
    {
      SweepView view(out.get(), false);
      work(view);
    }
    output += out.text();
  }

  /// Waits until the report fulfils the condition.
  SweepReport wait_until(const std::function<bool(const SweepReport&)>& condition) {
    for (int i = 0; i < 600; ++i) {
      SweepReport report = inspect_sweep(SweepDirectory::open(sweep.path()));
      if (condition(report)) return report;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    print_status(stdout, inspect_sweep(sweep));
    throw Error("what was waited for did not happen within a minute");
  }

  std::string task(std::size_t index) const {
    return fmt::format("{}_{}", read_submissions(sweep.path()).back().job, index);
  }
};

bool in_progress(const SweepReport& report, std::size_t run) {
  return report.runs[run].entry.state == RunState::kRunning && report.runs[run].report.progress.has_value();
}

int parent_of(int pid) {
  std::istringstream stat(read_file(fmt::format("/proc/{}/stat", pid)));
  std::string number, name, state;
  int parent = 0;
  stat >> number >> name >> state >> parent;
  return parent;
}

}  // namespace

TEST_CASE("a sweep runs as a job array, and its failures are named", "[slurm]") {
  if (no_cluster()) return;
  SlurmSweep s({{{"steps", 3}}, {{"behave", "exit"}}, {{"steps", 40}, {"step_ms", 50}}, {{"behave", "diverge"}}},
               {{"jobs", 3}, {"threads", 2}});
  s.submit(s.sweep.runs());
  CHECK(inspect_sweep(s.sweep).state() != "interrupted");
  s.watch();
  CHECK(states(s.sweep) ==
        std::vector<RunState>{RunState::kDone, RunState::kFailed, RunState::kDone, RunState::kDiverged});
  CHECK(s.sweep.runs()[1].reason == "exit code 7: the fake was told to fail");
  CHECK(contains(read_file(s.sweep.run_path(s.sweep.runs()[0]) / "run.log"), "threads 2"));
  CHECK(contains(s.output, "submitted 4 run(s) as Slurm job"));
  CHECK(contains(s.output, "done     000000000003"));
  CHECK(unfinished_runs(inspect_sweep(s.sweep), false).size() == 1);
}

TEST_CASE("a warning of the time limit puts a run back into the queue, and it goes on from its checkpoint", "[slurm]") {
  if (no_cluster()) return;
  SlurmSweep s({{{"steps", 60}, {"step_ms", 50}}}, {{"requeues", 1}});
  s.submit(s.sweep.runs());
  s.wait_until([](const auto& report) { return in_progress(report, 0); });
  slurm_command({"scancel", "--batch", "--signal=USR1", s.task(0)});
  s.wait_until([](const auto& report) { return report.count(RunState::kQueued) == 1; });
  CHECK(contains(s.sweep.runs()[0].reason + read_ending(s.sweep.run_path(s.sweep.runs()[0]))->reason,
                 "back in the queue (1 of 1)"));
  s.wait_until([](const auto& report) { return in_progress(report, 0) && report.runs[0].entry.attempts == 2; });
  slurm_command({"scancel", "--batch", "--signal=USR1", s.task(0)});
  const auto stopped = s.wait_until([](const auto& report) { return report.count(RunState::kInterrupted) == 1; });
  CHECK(stopped.runs[0].entry.reason == "stopped before the time limit; its 1 requeue(s) are used up");
  s.submit(unfinished_runs(reconcile(s.sweep), false));
  s.watch();
  CHECK(s.sweep.runs()[0].state == RunState::kDone);
  CHECK(s.sweep.runs()[0].attempts == 3);
  CHECK(count_lines(s.sweep.run_path(s.sweep.runs()[0]) / "steps.txt") == 60);
}

TEST_CASE("cancelled tasks are seen, running or waiting, and resumed", "[slurm]") {
  if (no_cluster()) return;
  SlurmSweep s({{{"steps", 40}, {"step_ms", 100}}, {{"steps", 2}}}, {{"jobs", 1}});
  s.submit(s.sweep.runs());
  s.wait_until([](const auto& report) { return in_progress(report, 0); });
  const auto queued = inspect_sweep(s.sweep);
  CHECK(queued.runs[1].entry.state == RunState::kQueued);
  CHECK(queued.runs[1].entry.reason == "JobArrayTaskLimit");
  CHECK(unfinished_runs(queued, false).empty());
  slurm_command({"scancel", s.task(1)});
  slurm_command({"scancel", s.task(0)});
  const auto report = s.wait_until([](const auto& r) { return r.count(RunState::kInterrupted) == 2; });
  CHECK(report.runs[0].entry.reason == fmt::format("it was cancelled in Slurm (task {})", s.task(0)));
  CHECK(contains(report.runs[1].entry.reason, "never began"));
  s.submit(unfinished_runs(reconcile(s.sweep), false));
  s.watch();
  CHECK(states(s.sweep) == std::vector<RunState>(2, RunState::kDone));
}

TEST_CASE("a node that goes down costs only time", "[slurm]") {
  if (no_cluster()) return;
  SlurmSweep s({{{"steps", 40}, {"step_ms", 50}}, {{"steps", 40}, {"step_ms", 50}}}, Json::object());
  s.submit(s.sweep.runs());
  s.wait_until([](const auto& report) { return in_progress(report, 0) && in_progress(report, 1); });
  slurm_command({"scontrol", "update", "NodeName=n1", "State=DOWN", "Reason=test"});
  s.watch();
  CHECK(states(s.sweep) == std::vector<RunState>(2, RunState::kDone));
  CHECK(s.sweep.runs()[0].attempts == 2);
}

TEST_CASE("a run killed with its task at once is told from one that is going on", "[slurm]") {
  if (no_cluster()) return;
  SlurmSweep s({{{"steps", 400}, {"step_ms", 100}}}, Json::object());
  s.submit(s.sweep.runs());
  const auto report = s.wait_until([](const auto& r) { return in_progress(r, 0); });
  CHECK(report.runs[0].report.attempt->job == s.task(0));
  ::kill(parent_of(report.runs[0].report.attempt->process.pid), SIGKILL);  // the run dies with its task's process
  const auto killed = s.wait_until([](const auto& r) { return r.count(RunState::kRunning) == 0; });
  CHECK(killed.runs[0].entry.state == RunState::kFailed);
  CHECK(contains(killed.runs[0].entry.reason, "Slurm says FAILED"));
  CHECK(contains(killed.runs[0].entry.reason, s.task(0)));
}

TEST_CASE("set-up lines that fail are found in the task's output", "[slurm]") {
  if (no_cluster()) return;
  SlurmSweep s({{{"steps", 2}}}, {{"setup", {"echo before", "module-that-is-not-there load x"}}});
  s.submit(s.sweep.runs());
  s.watch();
  CHECK(s.sweep.runs()[0].state == RunState::kFailed);
  CHECK(contains(s.sweep.runs()[0].reason, "never began: Slurm says FAILED (NonZeroExitCode)"));
  CHECK(contains(read_file(s.sweep.path() / ".mneme" / "slurm" / (s.task(0) + ".out")), "module-that-is-not-there"));
}

TEST_CASE("what Slurm refuses leaves the sweep as it was", "[slurm]") {
  if (no_cluster()) return;
  SlurmSweep s({{{"steps", 2}}}, {{"partition", "nowhere"}});
  CHECK(contains(message_of([&] { s.submit(s.sweep.runs()); }), "invalid partition specified: nowhere"));
  CHECK(states(s.sweep) == std::vector<RunState>{RunState::kPending});
  CHECK(read_submissions(s.sweep.path()).empty());
}

TEST_CASE("the program resumes, submits only, and shows the state of a Slurm sweep", "[slurm]") {
  if (no_cluster()) return;
  SlurmSweep s({{{"steps", 3}}, {{"steps", 3}}}, Json::object());
  const fs::path home = s.sweep.path();
  { const SweepDirectory released = std::move(s.sweep); }
  const auto mneme = [&](const std::vector<std::string>& arguments) {
    ChildOptions options;
    options.arguments = arguments;
    options.arguments.insert(options.arguments.begin(), SlurmSweep::program().string());
    return run_and_capture(options);
  };
  const Captured submitted = mneme({"resume", home.string(), "--submit-only"});
  CHECK(submitted.exit.code == 0);
  CHECK(contains(submitted.error, "submitted 2 run(s)"));
  const Captured watched = mneme({"resume", home.string()});
  CHECK(watched.exit.code == 0);
  CHECK_FALSE(contains(watched.error, "submitted"));
  const auto status = Json::parse(mneme({"status", home.string(), "--format", "json"}).output);
  CHECK(status["status"] == "done");
  CHECK(status["runs"][0]["attempts"] == 1);
  CHECK(contains(status["runs"][0]["job"].get<std::string>(), "_0"));
}
