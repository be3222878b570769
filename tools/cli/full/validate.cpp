#include <fmt/format.h>

#include <set>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/config/json.h"
#include "core/plugin/loader.h"
#include "core/run/build.h"
#include "tools/cli/full/commands.h"

namespace mneme::cli {

namespace {
/// Checks every run; each different message is printed once, with the first run that it concerns.
int validate_runs(const config::Node& runs) {
  plugin::PluginRegistry plugins(plugin::plugin_search_path());
  std::set<std::string> messages;
  std::string facts;
  for (const config::Node& run : runs.items()) {
    facts += facts.empty() ? "{}" : ",{}";
    try {
      run::validate(run.at("config"), plugins);
    } catch (const std::exception& e) {
      if (messages.insert(e.what()).second) fmt::print(stderr, "run {}: {}\n", run.at("id").as_string(), e.what());
    }
  }
  fmt::print("[{}]\n", facts);
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
