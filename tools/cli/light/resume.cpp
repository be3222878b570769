#include <fmt/format.h>

#include "core/base/error.h"
#include "core/launch/run_process.h"
#include "core/launch/slurm_task.h"
#include "core/launch/sweep_report.h"
#include "tools/cli/light/commands.h"
#include "tools/cli/light/launch_common.h"

namespace mneme::cli {
namespace fs = std::filesystem;

namespace {

int run_resume(const Arguments& arguments) {
  const LaunchArguments parsed = parse_launch_arguments(LaunchCommand::kResume, arguments);
  if (parsed.help) return kSuccess;
  if (parsed.positional.empty()) throw UsageError("resume: expected the directory of a sweep");
  const fs::path directory = parsed.positional[0];
  if (parsed.positional.size() > 1) {
    throw UsageError(
        fmt::format("resume: unexpected '{}': the config of a sweep that has begun does not change; "
                    "for other runs use: mneme run FILE [overrides] --out {} --extend",
                    parsed.positional[1], directory.string()));
  }
  if (!parsed.slurm_task.empty()) return launch::run_slurm_task(directory, parsed.slurm_task);
  auto sweep = launch::SweepDirectory::open_locked(directory);
  launch::Settings settings = launch::read_settings(sweep.settings_json(), directory / ".mneme" / "settings.json");
  apply_arguments(parsed, settings);
  const auto report = launch::reconcile(sweep);
  const auto runs = launch::unfinished_runs(report, parsed.retry_diverged);
  launch::clear_orphans(sweep, runs);
  const std::string facts = validate_on_disk(sweep, settings, runs);
  if (runs.empty() && report.count(launch::RunState::kQueued) + report.count(launch::RunState::kRunning) == 0) {
    fmt::print(stderr, "nothing to resume\n");
  }
  const int code = launch_and_report(sweep, settings, runs, parsed);
  learn_costs(sweep, settings, facts);
  return code;
}

}  // namespace

Command resume_command() {
  return {"resume", "DIR [options]", "starts again what is unfinished in a sweep", run_resume};
}

}  // namespace mneme::cli
