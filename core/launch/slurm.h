#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/launch/local.h"
#include "core/launch/settings.h"
#include "core/launch/sweep_directory.h"
#include "core/launch/sweep_report.h"
#include "core/launch/view.h"

namespace mneme::launch {

/// How runs are submitted.
struct SlurmOrder {
  const Settings& settings;
  std::filesystem::path program;  ///< mneme, which the tasks start
  bool again = false;             ///< whether the cluster had lost these runs before
};

/// Submits the runs as job arrays, one task per run, as many arrays as the cluster's MaxArraySize asks for.
/// Throws Error with sbatch's message if Slurm refuses; what was submitted before stays.
void submit_to_slurm(SweepDirectory& sweep, const std::vector<RunEntry>& runs, const SlurmOrder& order,
                     SweepView& view);

/// Watches the sweep until none of its runs waits or runs any more; submits again, within the budget, what the cluster
/// lost. Ctrl-C ends the watching, not the jobs (interrupted is then set).
LaunchResult watch_slurm(SweepDirectory& sweep, const Settings& settings, const std::filesystem::path& program,
                         SweepView& view);

}  // namespace mneme::launch
