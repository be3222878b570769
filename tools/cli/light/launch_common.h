#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/launch/compose.h"
#include "core/launch/settings.h"
#include "core/launch/sweep_directory.h"
#include "core/launch/sweep_report.h"
#include "tools/cli/command.h"

namespace mneme::cli {

/// The command line of run, plan, resume and status.
struct LaunchArguments {
  std::vector<std::string> positional;  ///< the file or directory, then overrides
  bool help = false;
  bool json = false;
  bool multirun = false;
  bool extend = false;
  bool submit_only = false;
  bool retry_diverged = false;
  std::optional<std::string> out;
  std::optional<int> jobs;
  std::optional<std::string> launcher;
  std::optional<std::string> on_error;
  std::string slurm_task;
  std::vector<std::string> plugin_paths;
  std::vector<std::string> search_path;
};

/// Which of the commands; they share most options.
enum class LaunchCommand { kRun, kPlan, kStatus, kResume };

/// Reads the command line; prints the help and sets `help` if it is asked for. Throws UsageError.
LaunchArguments parse_launch_arguments(LaunchCommand command, const Arguments& arguments);

/// Expands the experiment that run and plan are given; prints warnings. Throws UsageError, ConfigError.
launch::ComposedSweep compose(const LaunchArguments& arguments);

/// Has mneme-run check all runs of the sweep; returns its facts as JSON text. Throws ConfigError with its messages,
/// launch::RunnerMissing if it is not there.
std::string validate(const launch::ComposedSweep& sweep);

/// The path of this program, for the tasks that Slurm starts later.
std::filesystem::path this_program();

/// Puts the command line's launcher options on top of the config's. Throws UsageError for values that are wrong.
void apply_arguments(const LaunchArguments& arguments, launch::Settings& settings);

/// Decides how many threads each run gets, so that every later attempt at it gets the same.
void settle_threads(launch::Settings& settings, std::size_t runs);

/// Starts the runs where the settings say, shows them, prints the summary (and for --format json the status).
/// \return the exit code: 0 if every given run is done (or submitted, with --submit-only), 1 otherwise.
int launch_and_report(launch::SweepDirectory& sweep, const launch::Settings& settings,
                      const std::vector<launch::RunEntry>& runs, const LaunchArguments& arguments);

/// Remembers what the runs that this launch started took, for later predictions.
/// \param facts what validate() returned.
void learn_costs(const launch::SweepDirectory& sweep, const launch::Settings& settings, const std::string& facts,
                 const std::vector<launch::RunEntry>& started);

/// Has mneme-run check the runs that are on disk already; returns its facts. Throws ConfigError with its messages.
std::string validate_on_disk(const launch::SweepDirectory& sweep, const launch::Settings& settings,
                             const std::vector<launch::RunEntry>& runs);

}  // namespace mneme::cli
