#include "core/launch/slurm_task.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/launch/run_process.h"
#include "core/launch/settings.h"
#include "core/launch/signals.h"
#include "core/launch/slurm_queue.h"

namespace mneme::launch {
namespace fs = std::filesystem;

namespace {

constexpr int kPollMilliseconds = 500;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

/// The submission and the run of this task.
struct Assignment {
  Submission submission;
  RunEntry run;
  std::string task;  ///< "1234_7"
};

Assignment find_assignment(const SweepDirectory& sweep, const std::string& token) {
  const std::string index = environment("SLURM_ARRAY_TASK_ID");
  const std::string job = environment("SLURM_ARRAY_JOB_ID");
  if (index.empty() || job.empty()) {
    throw UsageError("--slurm-task is for the tasks of a Slurm job array: SLURM_ARRAY_TASK_ID is not set");
  }
  for (const auto& submission : read_submissions(sweep.path())) {
    if (submission.token != token) continue;
    const std::size_t position = std::stoul(index);
    MNEME_CHECK(position < submission.runs.size(), "submission {} has {} tasks, this is task {}", token,
                submission.runs.size(), index);
    for (const auto& run : sweep.runs()) {
      if (run.id == submission.runs[position]) return {submission, run, fmt::format("{}_{}", job, index)};
    }
  }
  throw Error(fmt::format("{}: submission {} with task {} is not there", sweep.path().string(), token, index));
}

/// The attempt that this task makes, with the count of requeues so far.
Attempt next_attempt(const fs::path& run_directory, const Assignment& assignment) {
  Attempt attempt;
  attempt.job = assignment.task;
  const auto former = read_attempt(run_directory);
  if (!former) return attempt;
  attempt.number = former->number + 1;
  const bool same_task = former->job == assignment.task;
  if (same_task || assignment.submission.again) attempt.requeues = former->requeues + 1;
  return attempt;
}

/// What came from outside while the run went on.
struct Interruption {
  bool warned = false;  ///< the time limit is near
  bool ended = false;   ///< Slurm ends the task
};

Ending wait_for(RunProcess& process, int warning_signal, Interruption& interruption, const Signals& signals) {
  for (;;) {
    for (const int number : signals.wait(kPollMilliseconds)) {
      (number == warning_signal ? interruption.warned : interruption.ended) = true;
      process.signal(SIGINT);
    }
    if (auto ending = process.poll()) return *ending;
  }
}

/// Puts this task back into the queue if the budget allows; writes the ending in any case. True if Slurm took it.
bool requeue(const Assignment& assignment, const Attempt& attempt, int budget, const fs::path& directory,
             Ending& ending) {
  if (attempt.requeues >= budget) {
    ending.reason = fmt::format("stopped before the time limit; its {} requeue(s) are used up", budget);
    return false;
  }
  ending.reason =
      fmt::format("stopped before the time limit; back in the queue ({} of {})", attempt.requeues + 1, budget);
  write_ending(directory, ending);  // before Slurm begins to end this task
  try {
    slurm_command({"scontrol", "requeue", assignment.task});
    return true;
  } catch (const Error& e) {
    ending.reason = fmt::format("stopped before the time limit; not put back into the queue: {}", e.message());
    return false;
  }
}

}  // namespace

int run_slurm_task(const fs::path& sweep_directory, const std::string& token) {
  SweepDirectory sweep = SweepDirectory::open(sweep_directory);
  Assignment assignment = find_assignment(sweep, token);
  const fs::path directory = sweep.run_path(assignment.run);
  if (is_final(inspect_run(directory).state)) return 0;
  const Settings settings = read_settings(sweep.settings_json(), directory);
  const int warning_signal = settings.launcher.slurm.warning_signal == "USR2" ? SIGUSR2 : SIGUSR1;
  const Signals signals({SIGTERM, SIGINT, SIGUSR1, SIGUSR2});
  clear_orphans(sweep, {assignment.run});

  Slot slot;
  slot.threads = std::max(1, settings.launcher.threads);
  slot.memory = settings.launcher.memory;
  RunEntry& run = assignment.run;
  const Attempt attempt = next_attempt(directory, assignment);
  run.state = RunState::kRunning;
  run.reason.clear();
  run.attempts = attempt.number;
  Interruption interruption;
  Ending ending;
  try {
    RunProcess process(directory, make_runner(settings), slot, attempt);
    sweep.update(run);
    ending = wait_for(process, warning_signal, interruption, signals);
  } catch (const Error& e) {
    ending = {.state = RunState::kFailed, .reason = e.what(), .finished = utc_now()};
  }
  const bool ended_badly = ending.state == RunState::kFailed || ending.state == RunState::kInterrupted;
  if (ended_badly && (interruption.warned || interruption.ended)) {
    ending.state = RunState::kInterrupted;
    ending.reason = fmt::format("stopped by Slurm on {}: cancelled, preempted, out of time, or its node taken away",
                                this_process().host);
  }
  const bool again = ending.state == RunState::kInterrupted && interruption.warned && !interruption.ended &&
                     requeue(assignment, attempt, settings.launcher.slurm.requeues, directory, ending);
  end_attempt(directory, ending);
  run.state = again ? RunState::kQueued : ending.state;
  run.reason = ending.reason;
  run.seconds = ending.seconds;
  sweep.update(run);
  if (!ending.reason.empty()) spdlog::info("run {}: {}: {}", run.id, to_string(run.state), ending.reason);
  return again || is_final(ending.state) ? 0 : 1;
}

}  // namespace mneme::launch
