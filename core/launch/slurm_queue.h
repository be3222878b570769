#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/launch/run_state.h"

namespace mneme::launch {

/// One sbatch call of a sweep; the array index of a task is the position of its run.
struct Submission {
  std::string token;              ///< its number within the sweep
  std::string job_name;           ///< unique
  std::string job;                ///< array job id; "" if the launcher was killed before it learned it
  std::string submitted;          ///< ISO 8601, UTC
  bool again = false;             ///< made for runs that the cluster lost: counts against their budget of requeues
  std::vector<std::string> runs;  ///< ids
};

/// `.mneme/slurm/submissions.json`; empty if the sweep was never submitted.
std::vector<Submission> read_submissions(const std::filesystem::path& sweep);
void write_submissions(const std::filesystem::path& sweep, const std::vector<Submission>& submissions);

/// What Slurm says about one task of an array.
struct SlurmTask {
  std::string id;      ///< "1234_7"
  std::string state;   ///< PENDING, RUNNING, …; "" if Slurm does not know it (any more)
  std::string reason;  ///< Resources, PartitionConfig, NonZeroExitCode, …
};

/// The latest tasks of a sweep's runs as Slurm sees them.
struct SlurmQueue {
  bool answered = true;                    ///< false if Slurm could not be asked
  std::string error;                       ///< why
  std::map<std::string, SlurmTask> tasks;  ///< by run id, of its latest submission
};

/// Asks squeue about every submission of the sweep. Needs no accounting database.
SlurmQueue query_slurm(const std::vector<Submission>& submissions);

/// Corrects what a run's files say by what Slurm knows: tasks that wait, tasks that ended without a trace.
void apply_task(RunReport& report, const SlurmTask& task, bool answered);

/// Whether the cluster, not the run or the user, ended the task: worth another submission.
bool is_lost_to_cluster(const SlurmTask& task);

/// Output of a Slurm command. Throws Error with its message if it fails or is not installed.
std::string slurm_command(const std::vector<std::string>& arguments);

}  // namespace mneme::launch
