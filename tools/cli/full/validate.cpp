#include "core/run/validate.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/config/json.h"
#include "tools/cli/full/commands.h"

namespace mneme::cli {

namespace {
nlohmann::ordered_json to_json(const std::string& id, const run::Forecast& forecast) {
  return {{"id", id},
          {"strategy", forecast.strategy},
          {"family", forecast.family},
          {"train_work", forecast.train_work},
          {"eval_work", forecast.eval_work},
          {"first_work", forecast.first_work},
          {"memory_bytes", forecast.memory_bytes},
          {"recompute", forecast.recompute},
          {"disk_bytes", forecast.disk_bytes}};
}

/// Checks every run; each different message is printed once, with the first run that it concerns.
int validate_runs(const config::Node& runs) {
  plugin::PluginRegistry plugins(plugin::plugin_search_path());
  run::Validator validator(plugins, cache_directory() / "checked_data.json");
  std::set<std::string> messages;
  auto facts = nlohmann::ordered_json::array();
  for (const config::Node& run : runs.items()) {
    const std::string id = run.at("id").as_string();
    try {
      facts.push_back(to_json(id, validator.check(run.at("config"))));
    } catch (const std::exception& e) {
      if (messages.insert(e.what()).second) fmt::print(stderr, "run {}: {}\n", id, e.what());
    }
  }
  validator.save();
  fmt::print("{}\n", facts.dump());
  return messages.empty() ? kSuccess : kFailure;
}
}  // namespace

Command validate_command() {
  return {"validate", "--runs FILE.json", "checks resolved runs before any of them starts (started by `mneme`)",
          [](const Arguments& arguments) {
            if (arguments.size() != 2 || arguments[0] != "--runs")
              throw UsageError("validate takes --runs FILE.json, a list of {id, config}");
            return validate_runs(config::parse_json(read_file(arguments[1]), ""));
          }};
}

}  // namespace mneme::cli
