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
  if (parsed.out && fs::absolute(*parsed.out).lexically_normal() != fs::absolute(directory).lexically_normal()) {
    throw UsageError(fmt::format("--out {}: a sweep is resumed where it is", *parsed.out));
  }
  if (!parsed.slurm_task.empty()) return launch::run_slurm_task(directory, parsed.slurm_task);
  auto sweep = launch::SweepDirectory::open_locked(directory);
  launch::Settings settings = launch::read_settings(sweep.settings_json(), directory / ".mneme" / "settings.json");
  for (std::size_t i = 1; i < parsed.positional.size(); ++i) launch::apply_override(settings, parsed.positional[i]);
  apply_arguments(parsed, settings);
  sweep.set_settings(launch::to_json(settings));  // for the tasks of Slurm, and for the next time
  const auto report = launch::reconcile(sweep);
  const auto runs = launch::unfinished_runs(report, parsed.retry_diverged);
  launch::clear_orphans(sweep, runs);
  const std::string facts = validate_on_disk(sweep, settings, runs);
  if (runs.empty() && report.count(launch::RunState::kQueued) + report.count(launch::RunState::kRunning) == 0) {
    fmt::print(stderr, "nothing to resume\n");
  }
  const int code = launch_and_report(sweep, settings, runs, parsed);
  learn_costs(sweep, settings, facts, runs);
  return code;
}

}  // namespace

Command resume_command() {
  return {"resume", "DIR [launcher.KEY=VALUE] [options]", "starts again what is unfinished in a sweep", run_resume};
}

}  // namespace mneme::cli
