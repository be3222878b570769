#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/error.h"
#include "core/launch/compose.h"
#include "core/launch/run_process.h"
#include "core/launch/sweep_report.h"
#include "tools/cli/light/commands.h"
#include "tools/cli/light/launch_common.h"

namespace mneme::cli {
namespace fs = std::filesystem;

namespace {

/// The sweep's directory: a new one, or with --extend one that is there. Says where and what.
launch::SweepDirectory place(const launch::ComposedSweep& sweep, const LaunchArguments& arguments) {
  const auto files = launch::sweep_files(sweep);
  if (!arguments.out) return launch::SweepDirectory::create_dated(fs::path("results") / sweep.plan.name, files);
  const fs::path out = *arguments.out;
  if (!arguments.extend || !fs::exists(out / "runs.json")) return launch::SweepDirectory::create(out, files);
  auto directory = launch::SweepDirectory::open_locked(out);
  const std::size_t added = directory.extend(files);
  fmt::print(stderr, "{}: {} run(s) added to {}\n", out.string(), added, directory.runs().size() - added);
  return directory;
}

/// Of the runs that were asked for, those that are not done.
std::vector<launch::RunEntry> requested(const launch::SweepReport& report, const launch::ComposedSweep& sweep) {
  std::vector<launch::RunEntry> runs;
  for (const auto& run : launch::unfinished_runs(report, false)) {
    const bool wanted = std::any_of(sweep.plan.runs.begin(), sweep.plan.runs.end(),
                                    [&](const config::PlannedRun& planned) { return planned.id == run.id; });
    if (wanted) runs.push_back(run);
  }
  return runs;
}

int run_run(const Arguments& arguments) {
  const LaunchArguments parsed = parse_launch_arguments(LaunchCommand::kRun, arguments);
  if (parsed.help) return kSuccess;
  launch::ComposedSweep sweep = compose(parsed);
  if (sweep.plan.runs.empty()) {
    fmt::print(stderr, "the sweep is empty (sweep.allow_empty): nothing to run\n");
    return kSuccess;
  }
  const std::string facts = validate(sweep);
  settle_threads(sweep.settings, sweep.plan.runs.size());
  auto directory = place(sweep, parsed);
  const auto runs = requested(launch::reconcile(directory), sweep);
  launch::clear_orphans(directory, runs);
  const int code = launch_and_report(directory, sweep.settings, runs, parsed);
  learn_costs(directory, sweep.settings, facts, runs);
  return code;
}

}  // namespace

Command run_command() { return {"run", "FILE [overrides] [options]", "runs an experiment or a sweep", run_run}; }

}  // namespace mneme::cli
