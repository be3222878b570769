#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/launch/memory_watch.h"
#include "core/launch/process.h"
#include "core/launch/run_state.h"
#include "core/launch/slots.h"
#include "core/launch/sweep_directory.h"

namespace mneme::launch {

/// How a run is started: the same for the local launcher and inside a Slurm task.
struct Runner {
  std::filesystem::path program;    ///< mneme-run
  std::filesystem::path directory;  ///< working directory of the runs: relative paths in configs count from it
  std::map<std::string, std::string> environment;  ///< MNEME_PLUGIN_PATH and the like
};

/// One attempt at a run: its process, and its traces in the run's directory.
class RunProcess {
 public:
  /// Starts it: process.json says so before it does anything, what an earlier attempt left as its end is removed.
  /// \param attempt number and job; the rest is filled in. Throws Error if it cannot be started.
  RunProcess(const std::filesystem::path& run_directory, const Runner& runner, const Slot& slot, Attempt attempt);

  const Attempt& attempt() const { return attempt_; }
  /// How it ended, judged but not written, or nothing while it runs.
  std::optional<Ending> poll();
  void signal(int number) const { child_->signal(number); }

 private:
  std::filesystem::path directory_;
  Attempt attempt_;
  MemoryWatch watch_;
  std::int64_t kills_before_ = 0;
  std::optional<Child> child_;
};

/// What an exit means: 0 done, 3 diverged, 130 interrupted, else failed with a reason in words.
/// \param out_of_memory whether the kernel killed processes for want of memory while it ran.
Ending judge_exit(const ProcessExit& exit, bool out_of_memory);

/// Writes down how an attempt ended: exit.json, and where the run failed without a word of its own, its record.
void end_attempt(const std::filesystem::path& run_directory, const Ending& ending);

/// Makes sure that no process of a killed launcher still works on these runs: the kernel ends them with it; what
/// remains after two seconds is killed. Throws Error if such a process may live on another machine.
void clear_orphans(const SweepDirectory& sweep, const std::vector<RunEntry>& runs);

}  // namespace mneme::launch
