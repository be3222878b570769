#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/progress.h"
#include "core/launch/compose.h"
#include "core/launch/cost.h"
#include "core/launch/settings.h"
#include "core/launch/slots.h"
#include "core/launch/slurm_script.h"
#include "tools/cli/light/commands.h"
#include "tools/cli/light/launch_common.h"

namespace mneme::cli {
namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

namespace {

/// A composed sweep with what is foreseen for it.
struct Forecast {
  launch::ComposedSweep sweep;
  std::vector<launch::Prediction> runs;  ///< one per run, or empty where the full program is not there
  std::size_t recompute = 0;             ///< runs that compute activations again to save memory
  std::size_t jobs = 1;
  launch::PlanCost cost;
};

/// How many runs go on at the same time where the settings say.
std::size_t parallel_jobs(const launch::Settings& settings, std::size_t runs) {
  if (settings.launcher.name == "slurm")
    return settings.launcher.jobs > 0 ? static_cast<std::size_t>(settings.launcher.jobs) : runs;
  std::vector<std::string> ignored;  // the launch itself warns
  return launch::make_slots(settings.launcher, launch::detect_machine(), runs, ignored).size();
}

Forecast forecast(launch::ComposedSweep sweep) {
  Forecast result;
  std::vector<launch::RunFacts> facts;
  try {
    facts = launch::read_facts(validate(sweep));
  } catch (const launch::RunnerMissing& e) {
    fmt::print(stderr, "note: plugins, models and data are not checked: {}\n", e.what());
  }
  const std::size_t runs = sweep.plan.runs.size();
  result.jobs = parallel_jobs(sweep.settings, runs);
  settle_threads(sweep.settings, runs);
  const launch::Calibration calibration(launch::Calibration::default_file());
  const std::string place = launch::calibration_place(sweep.settings.launcher);
  if (facts.size() == runs)
    for (const auto& run : facts) result.runs.push_back(calibration.predict(run, place));
  result.recompute = static_cast<std::size_t>(
      std::count_if(facts.begin(), facts.end(), [](const launch::RunFacts& run) { return run.recompute; }));
  result.cost = launch::plan_cost(result.runs, result.jobs);
  result.sweep = std::move(sweep);
  return result;
}

template <class T>
Json or_null(T value) {
  return value > 0 ? Json(value) : Json(nullptr);
}

Json to_json(const Forecast& plan) {
  Json runs = Json::array();
  for (std::size_t i = 0; i < plan.sweep.plan.runs.size(); ++i) {
    const auto& run = plan.sweep.plan.runs[i];
    const launch::Prediction prediction = plan.runs.empty() ? launch::Prediction{} : plan.runs[i];
    runs.push_back({{"id", run.id},
                    {"overrides", run.overrides},
                    {"index", run.index},
                    {"seconds", or_null(prediction.seconds.value_or(0))},
                    {"rough", prediction.rough},
                    {"memory_bytes", or_null(prediction.memory_bytes)},
                    {"disk_bytes", or_null(prediction.disk_bytes)}});
  }
  return {{"name", plan.sweep.plan.name},
          {"launcher", plan.sweep.settings.launcher.name},
          {"jobs", plan.jobs},
          {"seconds", or_null(plan.cost.wall_seconds)},
          {"memory_bytes", plan.cost.memory_bytes},
          {"disk_bytes", plan.cost.disk_bytes},
          {"recompute", plan.recompute},
          {"runs", std::move(runs)}};
}

std::string label(const config::PlannedRun& run) {
  return run.overrides.empty() ? "(no overrides)" : fmt::format("{}", fmt::join(run.overrides, " "));
}

std::string script(const Forecast& plan, const LaunchArguments& arguments) {
  const auto& sweep = plan.sweep;
  const fs::path out = arguments.out ? fs::path(*arguments.out) : fs::path("results") / sweep.plan.name / "DATE_TIME";
  return launch::slurm_script(sweep.settings, {this_program(), out, launch::slurm_job_name(sweep.settings, out, "1"),
                                               "1", sweep.plan.runs.size()});
}

/// "predicted: 1:05:00 with 2 at a time, 1.2 GiB of memory each, 300 MiB of disk".
std::string cost_line(const Forecast& plan) {
  const launch::PlanCost& cost = plan.cost;
  std::string text = "predicted: ";
  if (cost.wall_seconds >= 0) {
    text += fmt::format("{} with {} run(s) at a time", format_duration(cost.wall_seconds), plan.jobs);
  } else if (cost.known > 0) {
    text += fmt::format("more than {} of computing", format_duration(cost.run_seconds));
  } else {
    text += "time unknown until a run of this kind has finished here";
  }
  if (cost.memory_bytes > 0)
    text += fmt::format(", up to {} of memory per run", launch::format_bytes(cost.memory_bytes));
  if (cost.disk_bytes > 0) text += fmt::format(", {} of disk", launch::format_bytes(cost.disk_bytes));
  return text;
}

/// "4:07", with a tilde where it was learnt from other strategies.
std::string time_text(const launch::Prediction& run) {
  if (!run.seconds) return "";
  return (run.rough ? "~" : "") + format_duration(*run.seconds);
}

void print(const Forecast& plan) {
  const auto& runs = plan.sweep.plan.runs;
  fmt::print("{}: {} run(s)\n", plan.sweep.plan.name, runs.size());
  for (std::size_t i = 0; i < runs.size(); ++i) {
    fmt::print("{:>5}  {}  {:>8}  {}\n", runs[i].index, runs[i].id, plan.runs.empty() ? "" : time_text(plan.runs[i]),
               label(runs[i]));
  }
  if (!plan.runs.empty()) fmt::print("{}\n", cost_line(plan));
  if (plan.recompute > 0)
    fmt::print("{} run(s) compute activations again (train.recompute): less memory, about a third more time\n",
               plan.recompute);
}

int run_plan(const Arguments& arguments) {
  const LaunchArguments parsed = parse_launch_arguments(LaunchCommand::kPlan, arguments);
  if (parsed.help) return kSuccess;
  const Forecast plan = forecast(compose(parsed));
  const bool slurm = plan.sweep.settings.launcher.name == "slurm" && !plan.sweep.plan.runs.empty();
  if (parsed.json) {
    Json json = to_json(plan);
    if (slurm) json["sbatch"] = script(plan, parsed);
    fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
    return kSuccess;
  }
  print(plan);
  if (slurm) fmt::print("\n{}", script(plan, parsed));
  return kSuccess;
}

}  // namespace

Command plan_command() { return {"plan", "FILE [overrides] [options]", "the runs that 'run' would start", run_plan}; }

}  // namespace mneme::cli
