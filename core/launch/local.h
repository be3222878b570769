#pragma once

#include <vector>

#include "core/launch/options.h"
#include "core/launch/run_process.h"
#include "core/launch/sweep_directory.h"
#include "core/launch/view.h"

namespace mneme::launch {

/// How a launch ended.
struct LaunchResult {
  bool interrupted = false;       ///< the user stopped it
  bool stopped_on_error = false;  ///< runs were left out after a failure
};

/// Runs processes on this machine, one per run, in slots, until every given run has ended or the user stops it: the
/// first SIGINT or SIGTERM asks the runs to stop (SIGINT, then SIGTERM, then SIGKILL, as stop_seconds pass), the second
/// kills. States go to the sweep's directory as they change. A run that fails, crashes or cannot be started never ends
/// the launch.
LaunchResult launch_local(SweepDirectory& sweep, const std::vector<RunEntry>& runs, const LauncherOptions& options,
                          const Runner& runner, SweepView& view);

}  // namespace mneme::launch
