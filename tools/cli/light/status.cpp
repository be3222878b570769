#include <fmt/format.h>

#include "core/base/error.h"
#include "core/launch/sweep_report.h"
#include "tools/cli/light/commands.h"
#include "tools/cli/light/launch_common.h"

namespace mneme::cli {

namespace {

int run_status(const Arguments& arguments) {
  const LaunchArguments parsed = parse_launch_arguments(LaunchCommand::kStatus, arguments);
  if (parsed.help) return kSuccess;
  if (parsed.positional.size() != 1) throw UsageError("status: expected one directory, that of a sweep");
  const auto report = launch::inspect_sweep(launch::SweepDirectory::open(parsed.positional[0]));
  if (parsed.json) {
    fmt::print("{}\n", launch::status_json(report));
  } else {
    launch::print_status(stdout, report);
  }
  return kSuccess;
}

}  // namespace

Command status_command() { return {"status", "DIR", "what each run of a sweep is doing", run_status}; }

}  // namespace mneme::cli
