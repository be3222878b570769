#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/launch/compose.h"
#include "core/launch/settings.h"
#include "core/launch/slurm_script.h"
#include "tools/cli/light/commands.h"
#include "tools/cli/light/launch_common.h"

namespace mneme::cli {
namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

namespace {

/// The runs with what mneme-run tells about them; facts of a run are members of its object.
Json to_json(const launch::ComposedSweep& sweep, const Json& facts) {
  Json runs = Json::array();
  for (std::size_t i = 0; i < sweep.plan.runs.size(); ++i) {
    const auto& run = sweep.plan.runs[i];
    Json item{{"id", run.id}, {"overrides", run.overrides}, {"index", run.index}};
    if (i < facts.size() && facts[i].is_object()) item.update(facts[i]);
    runs.push_back(std::move(item));
  }
  return {{"name", sweep.plan.name}, {"runs", std::move(runs)}};
}

std::string label(const config::PlannedRun& run) {
  return run.overrides.empty() ? "(no overrides)" : fmt::format("{}", fmt::join(run.overrides, " "));
}

std::string script(const launch::ComposedSweep& sweep, const LaunchArguments& arguments) {
  const fs::path out = arguments.out ? fs::path(*arguments.out) : fs::path("results") / sweep.plan.name / "DATE_TIME";
  return launch::slurm_script(sweep.settings, {this_program(), out, launch::slurm_job_name(sweep.settings, out, "1"),
                                               "1", sweep.plan.runs.size()});
}

int run_plan(const Arguments& arguments) {
  const LaunchArguments parsed = parse_launch_arguments(LaunchCommand::kPlan, arguments);
  if (parsed.help) return kSuccess;
  const launch::ComposedSweep sweep = compose(parsed);
  Json facts = Json::array();
  try {
    facts = Json::parse(validate(sweep));
  } catch (const launch::RunnerMissing& e) {
    fmt::print(stderr, "note: plugins, models and data are not checked: {}\n", e.what());
  }
  const bool slurm = sweep.settings.launcher.name == "slurm";
  if (parsed.json) {
    Json json = to_json(sweep, facts);
    if (slurm && !sweep.plan.runs.empty()) json["sbatch"] = script(sweep, parsed);
    fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
    return kSuccess;
  }
  fmt::print("{}: {} run(s)\n", sweep.plan.name, sweep.plan.runs.size());
  for (const auto& run : sweep.plan.runs) fmt::print("{:>5}  {}  {}\n", run.index, run.id, label(run));
  if (slurm && !sweep.plan.runs.empty()) fmt::print("\n{}", script(sweep, parsed));
  return kSuccess;
}

}  // namespace

Command plan_command() { return {"plan", "FILE [overrides] [options]", "the runs that 'run' would start", run_plan}; }

}  // namespace mneme::cli
