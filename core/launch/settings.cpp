#include "core/launch/settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/config/json.h"
#include "core/config/override.h"

namespace mneme::launch {
namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

namespace {

template <class T>
Json or_null(const T& value, const T& absent) {
  return value == absent ? Json(nullptr) : Json(value);
}

/// The options in the form of the config group that read_launcher_options() reads.
Json to_section(const LauncherOptions& options) {
  const SlurmOptions& slurm = options.slurm;
  const std::string none;
  Json gpus = nullptr;
  if (options.all_gpus) gpus = "all";
  if (!options.gpus.empty()) gpus = options.gpus;
  return {{"name", options.name},
          {"jobs", or_null(options.jobs, 0)},
          {"threads", or_null(options.threads, 0)},
          {"gpus", gpus},
          {"runs_per_gpu", options.runs_per_gpu},
          {"memory", or_null<std::int64_t>(options.memory, 0)},
          {"pin", options.pin},
          {"stop_seconds", options.stop_seconds},
          {"partition", or_null(slurm.partition, none)},
          {"account", or_null(slurm.account, none)},
          {"qos", or_null(slurm.qos, none)},
          {"constraint", or_null(slurm.constraint, none)},
          {"time", or_null(slurm.time, none)},
          {"setup", slurm.setup},
          {"sbatch", slurm.sbatch},
          {"requeues", slurm.requeues},
          {"warning_seconds", slurm.warning_seconds},
          {"warning_signal", slurm.warning_signal}};
}

}  // namespace

RunnerMissing::~RunnerMissing() = default;

std::string to_json(const Settings& settings) {
  Json plugins = Json::array();
  for (const auto& path : settings.plugin_paths) plugins.push_back(path.string());
  const Json json{{"experiment", settings.experiment},
                  {"file", settings.file},
                  {"working_directory", settings.working_directory.string()},
                  {"plugin_paths", plugins},
                  {"stop_on_error", settings.launcher.stop_on_error},
                  {"launcher", to_section(settings.launcher)}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Settings read_settings(const std::string& text, const fs::path& file) {
  Settings settings;
  try {
    const auto json = nlohmann::json::parse(text);
    settings.experiment = json.at("experiment").get<std::string>();
    settings.file = json.at("file").get<std::string>();
    settings.working_directory = json.at("working_directory").get<std::string>();
    for (const auto& path : json.at("plugin_paths")) settings.plugin_paths.emplace_back(path.get<std::string>());
    settings.launcher = read_launcher_options(config::parse_json(json.at("launcher").dump(), file.string()));
    settings.launcher.stop_on_error = json.at("stop_on_error").get<bool>();
  } catch (const nlohmann::json::exception& e) {
    throw Error(fmt::format("{}: is not what mneme writes: {}", file.string(), e.what()));
  }
  return settings;
}

void apply_override(Settings& settings, const std::string& text) {
  const config::Override override = config::parse_override(text);
  constexpr std::string_view kGroup = "launcher.";
  const bool plain = override.type != config::OverrideType::kDelete && !override.is_sweep();
  if (!plain || !override.key.starts_with(kGroup)) {
    throw ConfigError(
        fmt::format("{}: the config of a sweep that has begun does not change, only launcher.KEY=VALUE may; "
                    "for other runs use: mneme run FILE [overrides] --out DIR --extend",
                    text));
  }
  const bool stop_on_error = settings.launcher.stop_on_error;
  config::Node section = config::parse_json(to_section(settings.launcher).dump(), "");
  config::Node value = config::to_node(override.value);
  value.set_position_deep(config::Node());
  section.set(override.key.substr(kGroup.size()), std::move(value));
  settings.launcher = read_launcher_options(section);
  settings.launcher.stop_on_error = stop_on_error;
}

Runner make_runner(const Settings& settings) {
  Runner runner;
  const char* own = std::getenv("MNEME_RUNNER");
  runner.program = own != nullptr && *own != 0 ? fs::absolute(own) : program_directory() / "mneme-run";
  if (::access(runner.program.c_str(), X_OK) != 0) {
    throw RunnerMissing(
        fmt::format("{}: the program that does the runs is not there or cannot be executed; build the target "
                    "mneme-run, or name another one by MNEME_RUNNER",
                    runner.program.string()));
  }
  runner.directory = settings.working_directory;
  if (!fs::is_directory(runner.directory)) {
    throw Error(
        fmt::format("{}: the directory in which the sweep was started is not there any more; relative paths in "
                    "its config count from it",
                    runner.directory.string()));
  }
  std::vector<std::string> plugins;
  for (const auto& path : settings.plugin_paths) plugins.push_back(path.string());
  const char* inherited = std::getenv("MNEME_PLUGIN_PATH");
  if (!plugins.empty() && inherited != nullptr && *inherited != 0) plugins.emplace_back(inherited);
  if (!plugins.empty()) runner.environment["MNEME_PLUGIN_PATH"] = fmt::format("{}", fmt::join(plugins, ":"));
  return runner;
}

}  // namespace mneme::launch
