#include "tools/cli/light/launch_common.h"

#include <fmt/format.h>

#include <boost/program_options.hpp>
#include <chrono>
#include <map>
#include <set>
#include <sstream>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/suggest.h"
#include "core/config/override.h"
#include "core/launch/cost.h"
#include "core/launch/local.h"
#include "core/launch/slots.h"
#include "core/launch/slurm.h"
#include "core/launch/validate.h"
#include "core/report/format.h"
#include "core/report/result.h"
#include "core/report/table.h"
#include "tools/cli/light/error_positions.h"
#include "tools/cli/search_path.h"

namespace mneme::cli {
namespace fs = std::filesystem;
namespace po = boost::program_options;
using launch::RunState;

namespace {

const char* usage_of(LaunchCommand command) {
  switch (command) {
    case LaunchCommand::kRun:
      return "usage: mneme run FILE [overrides] [options]\n\nRuns the experiment; a 'sweep:' block or -m makes it a "
             "sweep.";
    case LaunchCommand::kPlan:
      return "usage: mneme plan FILE [overrides] [options]\n\nShows the runs that 'mneme run' would start; starts "
             "nothing.";
    case LaunchCommand::kStatus:
      return "usage: mneme status DIR [options]\n\nShows what each run of a sweep is doing.";
    case LaunchCommand::kResume:
      return "usage: mneme resume DIR [launcher.KEY=VALUE] [options]\n\nStarts again what is unfinished in a sweep: "
             "what was interrupted, "
             "failed "
             "or never started.";
  }
  return "";
}

po::options_description visible_options(LaunchCommand command) {
  po::options_description options("options");
  auto add = options.add_options();
  add("help,h", "this text");
  add("format", po::value<std::string>()->value_name("text|json"), "output for people or for machines");
  if (command == LaunchCommand::kStatus) return options;
  add("multirun,m", "commas and sweep functions in overrides make a sweep");
  add("jobs,j", po::value<int>()->value_name("N"), "runs at the same time (Slurm: tasks at the same time)");
  add("launcher", po::value<std::string>()->value_name("local|slurm"), "where the runs are started");
  add("plugin-path", po::value<std::vector<std::string>>()->value_name("DIR"), "further directory with strategies");
  add("on-error", po::value<std::string>()->value_name("continue|stop"), "whether runs are started after a failure");
  add("config-dir", po::value<std::vector<std::string>>()->value_name("DIR"), "further directory with config groups");
  add("out", po::value<std::string>()->value_name("DIR"), "the sweep's directory, new or empty");
  add("extend", "with --out: add the runs that are missing in a sweep that is there");
  add("submit-only", "Slurm: submit and return");
  if (command == LaunchCommand::kResume) add("retry-diverged", "start diverged runs again as well");
  return options;
}

po::options_description hidden_options() {
  po::options_description options;
  auto add = options.add_options();
  add("positional", po::value<std::vector<std::string>>());
  add("slurm-task", po::value<std::string>());
  return options;
}

/// An unknown option with the nearest known one.
[[noreturn]] void throw_unknown(const std::string& option, const po::options_description& known) {
  std::vector<std::string> names;
  for (const auto& entry : known.options()) names.push_back("--" + entry->long_name());
  const std::string near = nearest(option, names);
  throw UsageError(
      fmt::format("unknown option '{}'{}", option, near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
}

po::variables_map parse(LaunchCommand command, const Arguments& arguments) {
  const po::options_description visible = visible_options(command);
  po::options_description all;
  all.add(visible).add(hidden_options());
  po::positional_options_description positional;
  positional.add("positional", -1);
  po::variables_map values;
  try {
    namespace style = po::command_line_style;
    po::command_line_parser parser(arguments);
    parser.options(all).positional(positional).style(style::unix_style ^ style::allow_guessing);
    po::store(parser.run(), values);
    po::notify(values);
  } catch (const po::unknown_option& e) {
    throw_unknown(e.get_option_name(), visible);
  } catch (const po::error& e) {
    throw UsageError(e.what());
  }
  return values;
}

template <class T>
std::optional<T> value_of(const po::variables_map& values, const char* name) {
  if (values.count(name) == 0) return std::nullopt;
  return values[name].as<T>();
}

void check_choice(const char* option, const std::optional<std::string>& value, const std::vector<std::string>& known) {
  if (!value || std::find(known.begin(), known.end(), *value) != known.end()) return;
  throw UsageError(fmt::format("--{}: unknown value '{}'{}", option, *value, hint(*value, known)));
}

launch::LaunchResult launch_runs(launch::SweepDirectory& sweep, const launch::Settings& settings,
                                 const std::vector<launch::RunEntry>& runs, bool submit_only) {
  launch::SweepView view;
  if (settings.launcher.name == "local") {
    return launch::launch_local(sweep, runs, settings.launcher, launch::make_runner(settings), view);
  }
  if (!runs.empty()) launch::submit_to_slurm(sweep, runs, {settings, this_program()}, view);
  if (submit_only) return {};
  return launch::watch_slurm(sweep, settings, this_program(), view);
}

/// The results of what has finished: the final score on each task, then the continual metrics. A sweep without any
/// result has none.
void print_table(const fs::path& sweep) {
  try {
    const auto results = report::load_results({sweep});
    const auto tasks = report::make_table(results, {.metrics = {"tasks"}, .single = "strategy=one"});
    const auto summary = report::make_table(results, {.single = "strategy=one"});
    fmt::print("\n{}\n{}", report::format_table(tasks, "text", {}), report::format_table(summary, "text", {}));
  } catch (const Error& e) {
    fmt::print(stderr, "no results table: {}\n", e.message());
  }
}

bool all_done(const launch::SweepReport& report, const std::vector<launch::RunEntry>& runs) {
  std::set<std::string> ids;
  for (const auto& run : runs) ids.insert(run.id);
  return std::all_of(report.runs.begin(), report.runs.end(), [&](const launch::RunLine& line) {
    return !ids.contains(line.entry.id) || line.entry.state == RunState::kDone;
  });
}

}  // namespace

LaunchArguments parse_launch_arguments(LaunchCommand command, const Arguments& arguments) {
  const po::variables_map values = parse(command, arguments);
  LaunchArguments result;
  result.help = values.count("help") > 0;
  if (result.help) {
    std::ostringstream text;
    text << visible_options(command);
    fmt::print("{}\n\n{}", usage_of(command), text.str());
    return result;
  }
  const auto texts = [&](const char* name) {
    return value_of<std::vector<std::string>>(values, name).value_or(std::vector<std::string>{});
  };
  result.positional = texts("positional");
  result.plugin_paths = texts("plugin-path");
  result.search_path = texts("config-dir");
  const auto format = value_of<std::string>(values, "format");
  check_choice("format", format, {"text", "json"});
  result.json = format == "json";
  result.multirun = values.count("multirun") > 0;
  result.extend = values.count("extend") > 0;
  result.submit_only = values.count("submit-only") > 0;
  result.retry_diverged = values.count("retry-diverged") > 0;
  result.out = value_of<std::string>(values, "out");
  result.jobs = value_of<int>(values, "jobs");
  result.launcher = value_of<std::string>(values, "launcher");
  result.on_error = value_of<std::string>(values, "on-error");
  result.slurm_task = value_of<std::string>(values, "slurm-task").value_or("");
  if (result.jobs && *result.jobs < 1)
    throw UsageError(fmt::format("--jobs: found {}; expected at least 1", *result.jobs));
  check_choice("launcher", result.launcher, {"local", "slurm"});
  check_choice("on-error", result.on_error, {"continue", "stop"});
  if (result.extend && !result.out && command != LaunchCommand::kResume)
    throw UsageError("--extend needs --out DIR, the sweep to extend");
  if (result.out && result.out->empty()) throw UsageError("--out: the directory's name is empty");
  return result;
}

launch::ComposedSweep compose(const LaunchArguments& arguments) {
  if (arguments.positional.empty())
    throw UsageError("expected an experiment file, for instance experiments/quickstart.yaml");
  config::Request request;
  request.file = arguments.positional[0];
  request.overrides.assign(arguments.positional.begin() + 1, arguments.positional.end());
  request.multirun = arguments.multirun;
  for (const auto& directory : arguments.search_path) request.search_path.push_back({directory, ""});
  const auto standard = search_path({arguments.plugin_paths.begin(), arguments.plugin_paths.end()});
  request.search_path.insert(request.search_path.end(), standard.begin(), standard.end());
  auto sweep = launch::compose_sweep(std::move(request), arguments.launcher.value_or(""));
  for (const auto& warning : sweep.plan.warnings) fmt::print(stderr, "warning: {}\n", warning);
  apply_arguments(arguments, sweep.settings);
  return sweep;
}

namespace {
/// Bytes that each run will be lent; 0 if unknown.
std::int64_t memory_per_run(const launch::LauncherOptions& options, std::size_t runs) {
  if (options.name != "local" || runs == 0) return options.memory;
  std::vector<std::string> ignored;  // the launch itself warns
  return launch::make_slots(options, launch::detect_machine(), runs, ignored)[0].memory;
}
}  // namespace

std::string validate(const launch::ComposedSweep& sweep) {
  std::vector<std::pair<std::string, std::string>> configs;
  for (const auto& run : sweep.plan.runs) configs.emplace_back(run.id, config::dump_json(run.resolved));
  launch::Runner runner = launch::make_runner(sweep.settings);
  if (const std::int64_t memory = memory_per_run(sweep.settings.launcher, configs.size()); memory > 0)
    runner.environment["MNEME_MEMORY_LIMIT"] = std::to_string(memory);
  try {
    return launch::validate_runs(runner, configs);
  } catch (const ConfigError& e) {
    throw ConfigError(with_positions(e.message(), sweep.plan));
  }
}

fs::path this_program() { return fs::read_symlink("/proc/self/exe"); }

void apply_arguments(const LaunchArguments& arguments, launch::Settings& settings) {
  launch::LauncherOptions& launcher = settings.launcher;
  if (arguments.jobs) launcher.jobs = *arguments.jobs;
  if (arguments.launcher) launcher.name = *arguments.launcher;
  if (arguments.on_error) launcher.stop_on_error = *arguments.on_error == "stop";
  for (const auto& path : arguments.plugin_paths) {
    if (!fs::is_directory(path)) throw UsageError(fmt::format("--plugin-path {}: is not a directory", path));
    const fs::path absolute = fs::absolute(path).lexically_normal();
    auto& known = settings.plugin_paths;
    if (std::find(known.begin(), known.end(), absolute) == known.end()) known.push_back(absolute);
  }
  if (arguments.submit_only && launcher.name != "slurm") throw UsageError("--submit-only needs --launcher slurm");
}

void settle_threads(launch::Settings& settings, std::size_t runs) {
  if (settings.launcher.name != "local") return;
  std::vector<std::string> ignored;  // the launch itself warns
  settings.launcher.threads = launch::make_slots(settings.launcher, launch::detect_machine(), runs, ignored)[0].threads;
}

std::string validate_on_disk(const launch::SweepDirectory& sweep, const launch::Settings& settings,
                             const std::vector<launch::RunEntry>& runs) {
  std::vector<std::pair<std::string, std::string>> configs;
  for (const auto& run : runs)
    configs.emplace_back(run.id, read_file(sweep.run_path(run) / ".hydra" / "resolved.json"));
  return configs.empty() ? "[]" : launch::validate_runs(launch::make_runner(settings), configs);
}

void learn_costs(const launch::SweepDirectory& sweep, const launch::Settings& settings, const std::string& facts,
                 const std::vector<launch::RunEntry>& started) {
  launch::Calibration calibration(launch::Calibration::default_file());
  std::map<std::string, launch::RunFacts> by_id;
  for (auto& run : launch::read_facts(facts)) by_id[run.id] = run;
  std::set<std::string> own;
  for (const auto& run : started) own.insert(run.id);
  const std::string place = launch::calibration_place(settings.launcher);
  for (const auto& run : sweep.runs()) {
    const auto known = by_id.find(run.id);
    if (known == by_id.end() || !own.contains(run.id) || run.state != RunState::kDone) continue;
    calibration.learn(known->second, place, launch::measure_run(sweep.run_path(run)));
  }
  try {
    calibration.save();
  } catch (const std::exception& e) {
    spdlog::debug("what the runs cost is not remembered: {}", e.what());
  }
}

int launch_and_report(launch::SweepDirectory& sweep, const launch::Settings& settings,
                      const std::vector<launch::RunEntry>& runs, const LaunchArguments& arguments) {
  const auto start = std::chrono::steady_clock::now();
  fmt::print(stderr, "sweep {}\n", sweep.path().string());
  const auto result = launch_runs(sweep, settings, runs, arguments.submit_only);
  const launch::SweepReport report = launch::reconcile(sweep);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (arguments.json) fmt::print("{}\n", launch::status_json(report));
  if (settings.launcher.name == "slurm" && (arguments.submit_only || result.interrupted)) {
    fmt::print(stderr, "the Slurm jobs go on; see: mneme status {}\n", config::shell_quoted(report.directory));
    return result.interrupted ? kFailure : kSuccess;
  }
  launch::print_summary(stderr, report, seconds);
  if (!arguments.json && report.count(RunState::kDone) > 0) print_table(sweep.path());
  return all_done(report, runs) && !result.interrupted ? kSuccess : kFailure;
}

}  // namespace mneme::cli
