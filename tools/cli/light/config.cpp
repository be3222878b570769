#include "core/config/config.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/config/selftest.h"
#include "tools/cli/light/commands.h"
#include "tools/cli/search_path.h"

namespace mneme::cli {

namespace {
constexpr std::string_view kHelp =
    R"(mneme config show FILE [overrides] [--resolve] [--package P] [--origin] [--format yaml|json] [--plugin-path DIRS]
    prints the composed configuration as YAML, as Hydra's --cfg job does
      --resolve      with every interpolation replaced by its value
      --package P    only what stands at the dotted key P
      --origin       one line per value: key, value, and the file or override that set it
      --plugin-path  directories of strategy plugins, separated by ':'
mneme config selftest CASES.jsonl
    runs cases recorded from Hydra, prints each mismatch and 'N passed, N failed'
)";

struct ShowOptions {
  config::Request request;
  bool resolve = false;
  bool origin = false;
  bool json = false;
  std::string package;
};

ShowOptions parse_show(const Arguments& arguments) {
  ShowOptions options;
  std::vector<std::filesystem::path> plugin_path;
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    const auto value = [&](std::string_view name) -> std::optional<std::string> {
      if (argument.starts_with(std::string(name) + "=")) return argument.substr(name.size() + 1);
      if (argument != name) return std::nullopt;
      if (i + 1 == arguments.size()) throw UsageError(fmt::format("config show: {} needs a value", name));
      return arguments[++i];
    };
    if (argument == "--resolve") {
      options.resolve = true;
    } else if (argument == "--origin") {
      options.origin = true;
    } else if (const auto package = value("--package")) {
      options.package = *package;
    } else if (const auto path = value("--plugin-path")) {
      plugin_path.emplace_back(*path);
    } else if (const auto format = value("--format")) {
      if (*format != "yaml" && *format != "json") throw UsageError("config show: --format takes yaml or json");
      options.json = *format == "json";
    } else if (argument.starts_with("--")) {
      throw UsageError(fmt::format("config show: unknown option '{}'", argument));
    } else if (options.request.file.empty()) {
      options.request.file = argument;
    } else {
      options.request.overrides.push_back(argument);
    }
  }
  if (options.request.file.empty()) throw UsageError("config show: a config file is missing");
  options.request.search_path = search_path(plugin_path);
  return options;
}

std::string origin_lines(const config::Node& root, const std::string& path) {
  std::string text;
  config::for_each_leaf(root, path, [&](const std::string& key, const config::Node& leaf) {
    text += fmt::format("{} = {}  # {}\n", key, config::describe(leaf), config::to_string(leaf.position()));
  });
  return text;
}

int show(const Arguments& arguments) {
  const ShowOptions options = parse_show(arguments);
  const config::Composition composition = config::compose(options.request);
  for (const std::string& warning : composition.warnings) fmt::print(stderr, "warning: {}\n", warning);
  config::ResolveOptions lenient;
  lenient.allow_missing = true;
  config::Node root = options.resolve ? config::resolve(composition, lenient) : composition.config;
  if (!options.package.empty()) {
    const auto target = config::Resolver(root).select(options.package);
    if (!target)
      throw ConfigError(fmt::format("{}: there is no key '{}'", options.request.file.string(), options.package));
    const config::Node part = *target->node;
    root = part;
  }
  if (options.origin) {
    fmt::print("{}", origin_lines(root, options.package));
    return kSuccess;
  }
  if (options.json) {
    fmt::print("{}\n", config::dump_json(root, {.indent = 2}));
    return kSuccess;
  }
  if (!options.package.empty()) fmt::print("# @package {}\n", options.package);
  fmt::print("{}", config::dump_yaml(root));
  return kSuccess;
}

int selftest(const Arguments& arguments) {
  if (arguments.size() != 2) throw UsageError("config selftest: one file of cases is expected");
  const config::SelftestResult result =
      config::run_selftest(arguments[1], [](const std::string& mismatch) { fmt::print("{}\n", mismatch); });
  for (const auto& [name, count] : result.deviations) fmt::print("{} cases held against deviation {}\n", count, name);
  fmt::print("{} passed, {} failed\n", result.passed, result.failed);
  return result.failed == 0 ? kSuccess : kFailure;
}
}  // namespace

Command config_command() {
  return {"config", "show FILE [overrides] [--resolve] [--package P] [--origin] | selftest CASES.jsonl",
          "the composed configuration; recorded Hydra cases", [](const Arguments& arguments) {
            const bool help = std::find_if(arguments.begin(), arguments.end(), [](const std::string& a) {
                                return a == "--help" || a == "-h";
                              }) != arguments.end();
            if (arguments.empty() || help) {
              fmt::print("{}", kHelp);
              return help ? kSuccess : kUsage;
            }
            if (arguments[0] == "show") return show(arguments);
            if (arguments[0] == "selftest") return selftest(arguments);
            throw UsageError(fmt::format("config: unknown action '{}'; it is show or selftest", arguments[0]));
          }};
}

}  // namespace mneme::cli
