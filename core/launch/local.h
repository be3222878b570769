#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/launch/options.h"
#include "core/launch/process.h"
#include "core/launch/run_state.h"
#include "core/launch/slots.h"
#include "core/launch/sweep_directory.h"
#include "core/launch/view.h"

namespace mneme::launch {

/// How a run is started: the same for the local launcher and inside a Slurm task.
struct Runner {
  std::filesystem::path program;                   ///< mneme-run
  std::filesystem::path directory;                 ///< working directory of the runs: relative paths in configs count from it
  std::map<std::string, std::string> environment;  ///< MNEME_PLUGIN_PATH and the like
};

/// Arguments, environment and log of one run in its slot.
ChildOptions run_child(const Runner& runner, const std::filesystem::path& run_directory, const Slot& slot);

/// What an exit means: 0 done, 3 diverged, else failed with a reason in words.
/// \param out_of_memory whether the kernel killed processes for want of memory while it ran.
Ending judge_exit(const ProcessExit& exit, bool out_of_memory);

/// Adds what the record says about a failure or divergence to the reason, if it was written after `attempt` began.
void add_recorded_error(Ending& ending, const std::filesystem::path& run_directory, const Attempt& attempt);

/// How a launch ended.
struct LaunchResult {
  bool interrupted = false;       ///< the user stopped it
  bool stopped_on_error = false;  ///< runs were left out after a failure
};

/// Runs processes on this machine, one per run, in slots, until every given run has ended or the user stops it: the first
/// SIGINT or SIGTERM asks the runs to stop (SIGINT, then SIGTERM, then SIGKILL, as stop_seconds pass), the second kills.
/// States go to the sweep's directory as they change. A run that fails, crashes or cannot be started never ends the
/// launch.
LaunchResult launch_local(SweepDirectory& sweep, const std::vector<RunEntry>& runs, const LauncherOptions& options,
                          const Runner& runner, SweepView& view);

/// Makes sure that no process of a killed launcher still works on these runs: the kernel ends them with it; what remains
/// after two seconds is killed. Throws Error if such a process may live on another machine.
void clear_orphans(const SweepDirectory& sweep, const std::vector<RunEntry>& runs);

}  // namespace mneme::launch
