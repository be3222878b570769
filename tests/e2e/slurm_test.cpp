// A sweep of real runs as a Slurm job array, with everything that goes wrong on a cluster; on a one-node cluster of its
// own, skipped where the packages are missing.
#include <optional>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/launch/slurm_queue.h"
#include "tests/e2e/study.h"
#include "tests/support/catch.h"
#include "tests/support/slurm_cluster.h"

using namespace mneme;
using namespace mneme::test;
namespace fs = std::filesystem;
using launch::RunState;
using launch::slurm_command;

namespace {

/// Long enough for a task to be seen running.
constexpr const char* kLonger = "train.epochs=8";

bool no_cluster() {
  static const SlurmCluster cluster(16);
  if (!cluster.running()) WARN(SlurmCluster::kSkipped);
  return !cluster.running();
}

std::string task(const Study& study, std::size_t index) {
  return fmt::format("{}_{}", launch::read_submissions(study / "out").back().job, index);
}

/// A run that has a task to stop.
std::optional<std::size_t> running_run(const Study& study) {
  for (const auto& line : study.report("out").runs)
    if (line.entry.state == RunState::kRunning && line.report.attempt) return line.entry.index;
  return std::nullopt;
}

/// Gives a task that runs the signal that Slurm sends before the time limit, so that it puts itself back into the
/// queue; returns its run.
std::size_t warn_some_task(const Study& study) {
  for (int attempt = 0; attempt < 5; ++attempt) {
    std::optional<std::size_t> run;
    if (!eventually(60, [&] { return (run = running_run(study)).has_value(); })) break;
    // Nobody waits for scancel: it tries for long again where the task is back in the queue before it has ended.
    launch::ChildOptions options;
    options.arguments = {"/usr/bin/env", "scancel", "--batch", "--signal=USR1", task(study, *run)};
    const launch::Child scancel(options);
    if (eventually(20, [&] {
          const auto line = study.report("out").runs[*run];
          return line.entry.state == RunState::kQueued || (line.report.attempt && line.report.attempt->requeues > 0);
        }))
      return *run;
  }
  throw std::runtime_error("no task could be warned: " + study.mneme({"status", "out"}).output);
}

}  // namespace

TEST_CASE("twelve runs through Slurm give the table of the local launcher, one requeued, one cancelled", "[slurm]") {
  if (no_cluster()) return;
  const Study study;
  REQUIRE(study.mneme({"run", "exp.yaml", kLonger, "--out", "here"}).ok());

  const launch::Captured submitted =
      study.mneme({"run", "exp.yaml", kLonger, "--launcher", "slurm", "--jobs", "3", "--out", "out", "--submit-only"});
  INFO(submitted.error);
  CHECK(submitted.ok());
  CHECK(contains(submitted.error, "submitted 12 run(s) as Slurm job"));

  // One that waits is cancelled.
  const std::size_t cancelled = 11;
  slurm_command({"scancel", task(study, cancelled)});
  CHECK(eventually(60, [&] { return study.report("out").runs[cancelled].entry.state == RunState::kInterrupted; }));
  const launch::Captured status = study.mneme({"status", "out"});
  CAPTURE(status.output);
  CHECK(contains(status.output, "never began: "));
  CHECK(contains(status.output, "cancelled"));
  // One is warned of its time limit: it goes back into the queue and on from its checkpoint.
  const std::size_t warned = warn_some_task(study);

  // The first resume takes the cancelled one up again and watches the others to their ends.
  const launch::Captured resumed = study.mneme({"resume", "out"});
  INFO(resumed.error);
  CHECK(resumed.ok());
  CHECK(contains(resumed.error, "submitted 1 run(s) as Slurm job"));
  const auto report = study.report("out");
  CHECK(report.count(RunState::kDone) == 12);
  CHECK(report.runs[warned].report.attempt->requeues >= 1);
  for (const auto& line : report.runs) {  // begun once, and once more after each requeue
    CAPTURE(line.entry.index);
    CHECK(line.entry.attempts == 1 + line.report.attempt->requeues);
  }

  const Results here = study.results("here"), there = study.results("out");
  CHECK(there.table == here.table);
  CHECK(there.runs == here.runs);
  CHECK(contains(study.mneme({"resume", "out"}).error, "nothing to resume"));
}

TEST_CASE("what the config says reaches Slurm, and plan shows it", "[slurm]") {
  if (no_cluster()) return;
  const Study study;
  const std::vector<std::string> settings{"launcher=slurm",
                                          "launcher.jobs=2",
                                          "launcher.partition=main",
                                          "launcher.time=10",
                                          "launcher.memory=512M",
                                          "launcher.gpus=1",
                                          "launcher.account=lab",
                                          "launcher.threads=2",
                                          "strategy=seq",
                                          "launcher.setup=['export MNEME_TEST_MARK=set']"};
  std::vector<std::string> arguments{"plan", "exp.yaml"};
  arguments.insert(arguments.end(), settings.begin(), settings.end());
  const launch::Captured plan = study.mneme(arguments);
  INFO(plan.error);
  REQUIRE(plan.ok());
  for (const char* line : {"#SBATCH --array=0-2%2\n", "#SBATCH --partition=main\n", "#SBATCH --time=10\n",
                           "#SBATCH --mem=512M\n", "#SBATCH --gres=gpu:1\n", "#SBATCH --account=lab\n",
                           "#SBATCH --cpus-per-task=2\n", "export MNEME_TEST_MARK=set\n"}) {
    CAPTURE(line);
    CHECK(contains(plan.output, line));
  }
  arguments[0] = "run";
  arguments.insert(arguments.end(), {"--out", "out"});
  const launch::Captured done = study.mneme(arguments);
  INFO(done.error);
  CHECK(done.ok());
  const std::string job = slurm_command({"scontrol", "-o", "show", "job", task(study, 0)});
  CAPTURE(job);
  CHECK(contains(job, "Partition=main"));
  CHECK(contains(job, "TimeLimit=00:10:00"));
  CHECK(contains(job, "MinMemoryNode=512M"));
  CHECK(contains(job, "Account=lab"));
  CHECK(contains(job, "gres"));
}

TEST_CASE("a lost node is named and costs only time", "[slurm]") {
  if (no_cluster()) return;
  const Study study;
  launch::Child launcher =
      study.start({"run", "exp.yaml", kLonger, "strategy=seq,er", "--launcher", "slurm", "--out", "out"}, "run");
  REQUIRE(eventually(120, [&] { return fs::exists(study / "out/runs.json") && running_run(study).has_value(); }));
  slurm_command({"scontrol", "update", "NodeName=n1", "State=DOWN", "Reason=test"});
  std::string status;
  CHECK(eventually(60, [&] {
    status = study.mneme({"status", "out"}).output;
    return contains(status, "its node taken away; Slurm has put it back in the queue");
  }));
  CHECK(wait_for(launcher).code == 0);
  CHECK(study.report("out").count(RunState::kDone) == 6);
  CAPTURE(status, read_file(study / "run.log"));
}
