#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/process/env.hpp>
#include <boost/process/io.hpp>
#include <boost/process/system.hpp>
#include <boost/program_options.hpp>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/suggest.h"
#include "core/plugin/loader.h"
#include "tools/cli/full/commands.h"
#include "tools/cli/full/plugin_scaffold.h"

namespace mneme::cli {

namespace {
namespace bp = boost::process;
namespace po = boost::program_options;
using Json = nlohmann::ordered_json;

constexpr const char* kUsageText = R"(usage: mneme plugins list [options]
       mneme plugins show NAME|FILE.so [options]
       mneme plugins check NAME|FILE.so [options]
       mneme plugins new NAME [--dir DIR]

list    the strategy plugins in the search path; one that cannot be used says why
show    one plugin: where it comes from, its parameters with type, default and range, its capabilities
check   holds one plugin to the contract of all strategies, on a toy model and stream
new     writes the source, settings, test and CMakeLists.txt of a new strategy into DIR (default plugins/NAME)

options:
)";

struct PluginArguments {
  std::string action, name;
  std::vector<std::string> path;
  std::string directory;
  bool json = false;
};

po::options_description visible_options() {
  po::options_description options;
  auto add = options.add_options();
  add("plugin-path", po::value<std::vector<std::string>>()->value_name("DIR"), "search this directory, too");
  add("dir", po::value<std::string>()->value_name("DIR"), "for new: where to write");
  add("format", po::value<std::string>()->default_value("text"), "text or json");
  add("help,h", "this text");
  return options;
}

po::variables_map parse_options(const Arguments& arguments) {
  po::options_description all = visible_options();
  all.add_options()("words", po::value<std::vector<std::string>>()->default_value({}, ""), "");
  po::variables_map values;
  try {
    const auto positional = po::positional_options_description().add("words", -1);
    po::store(po::command_line_parser(arguments).options(all).positional(positional).run(), values);
  } catch (const po::error& e) {
    throw UsageError(fmt::format("plugins: {}", e.what()));
  }
  return values;
}

PluginArguments check_arguments(const po::variables_map& values) {
  PluginArguments parsed;
  const auto words = values["words"].as<std::vector<std::string>>();
  const auto format = values["format"].as<std::string>();
  if (format != "text" && format != "json") throw UsageError(fmt::format("--format {}: expected text or json", format));
  parsed.json = format == "json";
  if (values.contains("plugin-path")) parsed.path = values["plugin-path"].as<std::vector<std::string>>();
  if (values.contains("dir")) parsed.directory = values["dir"].as<std::string>();
  const std::vector<std::string> actions{"list", "show", "check", "new"};
  parsed.action = words.empty() ? "" : words[0];
  if (std::find(actions.begin(), actions.end(), parsed.action) == actions.end())
    throw UsageError(
        fmt::format("plugins: expected an action, found '{}'{}", parsed.action, hint(parsed.action, actions)));
  if (words.size() != (parsed.action == "list" ? 1 : 2))
    throw UsageError(
        fmt::format("plugins {} takes {}", parsed.action, parsed.action == "list" ? "no name" : "one name"));
  if (words.size() == 2) parsed.name = words[1];
  return parsed;
}

Json to_json(const plugin::PluginInfo& info) {
  if (!info.error.empty()) return {{"name", info.name}, {"file", info.file.string()}, {"error", info.error}};
  Json parameters = Json::array();
  for (const auto& p : info.parameters)
    parameters.push_back({{"key", p.key},
                          {"type", to_string(p.type)},
                          {"default", p.default_text},
                          {"range", p.range},
                          {"nullable", p.nullable},
                          {"help", p.help}});
  return {{"name", info.name},        {"file", info.file.string()}, {"version", info.version},
          {"summary", info.summary},  {"citation", info.citation},  {"capabilities", info.capabilities},
          {"parameters", parameters}, {"toolchain", info.toolchain}};
}

void print_list(const std::vector<plugin::PluginInfo>& infos) {
  for (const auto& info : infos)
    fmt::print("{:<14} {:<6} {}\n", info.name, info.version,
               info.error.empty() ? info.summary : "cannot be used: " + info.error);
}

void print_plugin(const plugin::PluginInfo& info) {
  fmt::print("{} {}: {}\n", info.name, info.version, info.summary);
  if (!info.citation.empty()) fmt::print("source        {}\n", info.citation);
  fmt::print("file          {}\n", info.file.string());
  fmt::print("capabilities  {}\n",
             info.capabilities.empty() ? "none" : fmt::format("{}", fmt::join(info.capabilities, ", ")));
  fmt::print("toolchain     {}\n", info.toolchain);
  fmt::print("parameters    {}\n", info.parameters.empty() ? "none" : "");
  for (const auto& p : info.parameters)
    fmt::print("  {:<18} {} = {}{}\n  {:<18}   {}\n", "strategy." + p.key, to_string(p.type), p.default_text,
               p.range.empty() ? "" : fmt::format("  ({})", p.range), "", p.help);
}

int list_plugins(plugin::PluginRegistry& registry, bool json) {
  const auto infos = registry.list();
  if (!json) {
    print_list(infos);
    return kSuccess;
  }
  Json out = Json::array();
  for (const auto& info : infos) out.push_back(to_json(info));
  fmt::print("{}\n", out.dump(2));
  return kSuccess;
}

int show_plugin(const plugin::PluginInfo& info, bool json) {
  if (json)
    fmt::print("{}\n", to_json(info).dump(2));
  else
    print_plugin(info);
  return kSuccess;
}

/// Runs the contract's own program on the plugin; it prints what fails and why. With json that goes to standard error.
int check_plugin(const plugin::PluginInfo& info, bool json) {
  const auto program = program_directory() / "mneme-contract";
  if (!std::filesystem::exists(program))
    throw Error(fmt::format("{}: is not there; build the target mneme-contract", program.string()));
  bp::environment changed = boost::this_process::environment();
  changed["MNEME_CONTRACT_PLUGIN"] = info.file.string();
  changed["OMP_NUM_THREADS"] = "1";  // the toy model is too small for threads
  const std::vector<std::string> command{program.string(), "--reporter", "contract"};
  const bool passed = (json ? bp::system(command, changed, bp::std_out > stderr) : bp::system(command, changed)) == 0;
  if (json) fmt::print("{}\n", Json{{"name", info.name}, {"file", info.file.string()}, {"passed", passed}}.dump());
  return passed ? kSuccess : kFailure;
}

int new_plugin(const PluginArguments& parsed) {
  const std::string directory = parsed.directory.empty() ? "plugins/" + parsed.name : parsed.directory;
  write_plugin_scaffold(parsed.name, directory);
  if (parsed.json)
    fmt::print("{}\n", Json{{"name", parsed.name}, {"directory", directory}}.dump());
  else
    fmt::print("{}: a strategy to begin with; build it, then: mneme plugins check {}\n", directory, parsed.name);
  return kSuccess;
}

int run_plugins(const Arguments& arguments) {
  const auto values = parse_options(arguments);
  if (values.contains("help")) {
    std::ostringstream text;
    text << visible_options();
    fmt::print("{}{}", kUsageText, text.str());
    return kSuccess;
  }
  const PluginArguments parsed = check_arguments(values);
  if (parsed.action == "new") return new_plugin(parsed);
  plugin::PluginRegistry registry(plugin::plugin_search_path({parsed.path.begin(), parsed.path.end()}));
  if (parsed.action == "list") return list_plugins(registry, parsed.json);
  const auto info = registry.info(parsed.name);
  return parsed.action == "show" ? show_plugin(info, parsed.json) : check_plugin(info, parsed.json);
}
}  // namespace

Command plugins_command() {
  return {"plugins", "list|show NAME|check NAME|new NAME",
          "the strategy plugins, their parameters; the contract; a new one", run_plugins};
}

}  // namespace mneme::cli
