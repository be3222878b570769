#include "core/launch/slurm_queue.h"
#include "core/launch/slurm_script.h"
#include "tests/core/launch/fixture.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::launch;
using namespace mneme::launch::test;
using Json = nlohmann::json;

namespace {
RunReport after(const SlurmTask& task, RunReport report = {}, bool answered = true) {
  apply_task(report, task, answered);
  return report;
}

RunReport begun(const std::string& job, std::optional<RunState> ended = std::nullopt) {
  RunReport report;
  report.attempt = Attempt{};
  report.attempt->job = job;
  report.state = RunState::kInterrupted;
  if (ended) {
    report.ending = Ending{};
    report.state = report.ending->state = *ended;
    report.reason = "as written";
  }
  return report;
}
}  // namespace

TEST_CASE("the batch script says what the config says", "[slurm]") {
  Settings settings;
  settings.experiment = "my table";
  settings.working_directory = "/work dir";
  settings.launcher = options_of({{"name", "slurm"},
                                  {"jobs", 8},
                                  {"threads", 4},
                                  {"gpus", 1},
                                  {"memory", "1.5G"},
                                  {"partition", "long"},
                                  {"account", "me"},
                                  {"time", "1-00:00:00"},
                                  {"setup", {"module load gcc", "export A=1"}},
                                  {"sbatch", {"--exclude=n3"}},
                                  {"warning_seconds", 300},
                                  {"warning_signal", "USR2"}});
  CHECK(slurm_script(settings, {"/opt/mneme", "/data/it's", "mneme-x-1", "1", 24}) ==
        "#!/bin/bash\n"
        "#SBATCH --job-name=mneme-x-1\n"
        "#SBATCH --array=0-23%8\n"
        "#SBATCH --chdir=\"/work dir\"\n"
        "#SBATCH --output=\"/data/it's/.mneme/slurm/%A_%a.out\"\n"
        "#SBATCH --open-mode=append\n"
        "#SBATCH --requeue\n"
        "#SBATCH --signal=B:USR2@300\n"
        "#SBATCH --ntasks=1\n"
        "#SBATCH --cpus-per-task=4\n"
        "#SBATCH --mem=1536M\n"
        "#SBATCH --gres=gpu:1\n"
        "#SBATCH --partition=long\n"
        "#SBATCH --account=me\n"
        "#SBATCH --time=1-00:00:00\n"
        "#SBATCH --exclude=n3\n"
        "set -e\n"
        "module load gcc\n"
        "export A=1\n"
        "exec /opt/mneme resume '/data/it'\\''s' --slurm-task 1\n");
  CHECK(slurm_job_name(settings, "/data/a", "2") != slurm_job_name(settings, "/data/b", "2"));
  CHECK(slurm_job_name(settings, "/data/a", "2").starts_with("mneme-my-table-"));
}

TEST_CASE("what Slurm says corrects what the files say", "[slurm]") {
  const auto state = [](const RunReport& report) { return report.state; };
  CHECK(state(after({"5_1", "PENDING", "Resources"})) == RunState::kQueued);
  CHECK(after({"5_1", "PENDING", "Resources"}).reason == "Resources");
  CHECK(after({"5_1", "PENDING", "None"}).reason.empty());
  CHECK(state(after({"5_1", "RUNNING", "None"})) == RunState::kRunning);
  CHECK(state(after({"5_1", "RUNNING", "None"}, begun("5_1"))) == RunState::kRunning);
  CHECK(state(after({"5_1", "COMPLETING", "None"}, begun("5_1", RunState::kFailed))) == RunState::kFailed);
  CHECK(state(after({"5_1", "COMPLETED", "None"}, begun("5_1", RunState::kDone))) == RunState::kDone);
  CHECK(state(after({"5_1", "PENDING", "BeginTime"}, begun("5_1", RunState::kInterrupted))) == RunState::kQueued);
  CHECK(after({"5_1", "TIMEOUT", "None"}, begun("5_1", RunState::kInterrupted)).reason ==
        "it ran into Slurm's time limit (task 5_1)");
  CHECK(after({"5_1", "FAILED", "None"}, begun("5_1", RunState::kInterrupted)).reason == "as written");
  CHECK(after({"5_1", "", ""}, begun("5_1", RunState::kInterrupted)).reason == "as written");
  CHECK(after({"5_1", "CANCELLED", "None"}, begun("5_1")).reason == "it was cancelled in Slurm (task 5_1)");
  CHECK(state(after({"5_1", "CANCELLED", "None"}, begun("5_1"))) == RunState::kInterrupted);
  CHECK(state(after({"5_1", "OUT_OF_MEMORY", "None"}, begun("5_1"))) == RunState::kFailed);
  CHECK(after({"5_1", "NODE_FAIL", "None"}, begun("5_1")).reason == "its node failed (task 5_1)");
  auto lost = begun("5_1");
  lost.attempt->process.host = "n7";
  CHECK(after({"5_1", "NODE_FAIL", "None"}, lost).reason == "its node failed (task 5_1) on n7");
  CHECK(after({"5_1", "PENDING", "BeginTime"}, lost).reason ==
        "lost on n7 with its node, or preempted; Slurm has put it back in the queue (BeginTime)");
  CHECK(after({"5_1", "FAILED", "JobLaunchFailure"}).reason ==
        "never began: Slurm says FAILED (JobLaunchFailure) (task 5_1); its output, if any: .mneme/slurm/5_1.out");
  CHECK(state(after({"5_1", "FAILED", "JobLaunchFailure"}, begun("4_1", RunState::kDone))) == RunState::kDone);
  CHECK(state(after({"5_1", "FAILED", "JobLaunchFailure"}, begun("4_1", RunState::kInterrupted))) == RunState::kFailed);
  CHECK(state(after({"5_1", "", ""}, begun("5_1"))) == RunState::kInterrupted);
  CHECK(contains(after({"5_1", "", ""}).reason, "never began: Slurm does not know its task any more"));
  CHECK(state(after({"5_1", "", ""}, begun("5_1"), false)) == RunState::kRunning);
  CHECK(state(after({"5_1", "", ""}, {}, false)) == RunState::kQueued);
}

TEST_CASE("what the cluster lost is told from what a user cancelled", "[slurm]") {
  CHECK(is_lost_to_cluster({"1_1", "PREEMPTED", ""}));
  CHECK(is_lost_to_cluster({"1_1", "NODE_FAIL", ""}));
  CHECK_FALSE(is_lost_to_cluster({"1_1", "CANCELLED", ""}));
  CHECK_FALSE(is_lost_to_cluster({"1_1", "", ""}));
}

TEST_CASE("submissions survive writing and reading", "[slurm]") {
  const TemporaryDirectory dir;
  CHECK(read_submissions(dir.path()).empty());
  fs::create_directories(dir.path() / ".mneme" / "slurm");
  write_submissions(dir.path(), {{"1", "name-1", "77", "2026-01-01T00:00:00Z", true, {"a", "b"}}});
  const auto back = read_submissions(dir.path());
  REQUIRE(back.size() == 1);
  CHECK(back[0].job_name == "name-1");
  CHECK(back[0].job == "77");
  CHECK(back[0].again);
  CHECK(back[0].runs == std::vector<std::string>{"a", "b"});
}

TEST_CASE("a machine without Slurm says so", "[slurm]") {
  const std::string path = std::getenv("PATH");
  ::setenv("PATH", "/no/such/directory", 1);
  CHECK(message_of([] {
          slurm_command({"sbatch", "x"});
        }) == "sbatch: not found in PATH; is this a machine with Slurm? Otherwise use --launcher local");
  const SlurmQueue queue = query_slurm({{"1", "name-1", "77", "", false, {"a"}}});
  ::setenv("PATH", path.c_str(), 1);
  CHECK_FALSE(queue.answered);
  CHECK(contains(queue.error, "squeue: not found"));
  CHECK(message_of([] {
          slurm_command({"sh", "-c", "echo no partition >&2; exit 1"});
        }) == "sh -c echo no partition >&2; exit 1 failed: no partition");
}
