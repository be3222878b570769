#include <fmt/format.h>
#include <fmt/ranges.h>

#include <boost/program_options.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/plugin/loader.h"
#include "tools/cli/full/commands.h"

namespace mneme::cli {

namespace {
namespace po = boost::program_options;
using Json = nlohmann::ordered_json;

constexpr const char* kUsageText = R"(usage: mneme plugins list [options]
       mneme plugins show NAME|FILE.so [options]

list    the strategy plugins in the search path; one that cannot be used says why
show    one plugin: where it comes from, its parameters with type, default and range, its capabilities

options:
)";

struct PluginArguments {
  std::string action, name;
  std::vector<std::string> path;
  bool json = false;
};

po::options_description visible_options() {
  po::options_description options;
  options.add_options()                                                                     //
      ("plugin-path", po::value<std::vector<std::string>>(), "search this directory, too")  //
      ("format", po::value<std::string>()->default_value("text"), "text or json")           //
      ("help,h", "this text");
  return options;
}

/// \return nothing to do further if help was asked for.
std::optional<PluginArguments> parse(const Arguments& arguments) {
  po::options_description all = visible_options();
  all.add_options()("words", po::value<std::vector<std::string>>()->default_value({}, ""), "");
  po::variables_map values;
  try {
    po::store(po::command_line_parser(arguments)
                  .options(all)
                  .positional(po::positional_options_description().add("words", -1))
                  .run(),
              values);
  } catch (const po::error& e) {
    throw UsageError(fmt::format("plugins: {}", e.what()));
  }
  if (values.contains("help")) {
    std::ostringstream text;
    text << visible_options();
    fmt::print("{}{}", kUsageText, text.str());
    return std::nullopt;
  }
  const auto words = values["words"].as<std::vector<std::string>>();
  const auto format = values["format"].as<std::string>();
  if (format != "text" && format != "json") throw UsageError(fmt::format("--format {}: expected text or json", format));
  PluginArguments parsed{.action = words.empty() ? "" : words[0],
                         .name = words.size() > 1 ? words[1] : "",
                         .path = {},
                         .json = format == "json"};
  if (values.contains("plugin-path")) parsed.path = values["plugin-path"].as<std::vector<std::string>>();
  const std::size_t expected = parsed.action == "list" ? 1 : 2;
  if (parsed.action != "list" && parsed.action != "show")
    throw UsageError(
        fmt::format("plugins: expected an action, found '{}'{}", parsed.action, hint(parsed.action, {"list", "show"})));
  if (words.size() != expected)
    throw UsageError(parsed.action == "list" ? "plugins list takes no name" : "plugins show takes one name or file");
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

int run_plugins(const Arguments& arguments) {
  const auto parsed = parse(arguments);
  if (!parsed) return kSuccess;
  plugin::PluginRegistry registry(plugin::plugin_search_path({parsed->path.begin(), parsed->path.end()}));
  if (parsed->action == "list") {
    const auto infos = registry.list();
    if (parsed->json) {
      Json out = Json::array();
      for (const auto& info : infos) out.push_back(to_json(info));
      fmt::print("{}\n", out.dump(2));
    } else {
      print_list(infos);
    }
    return kSuccess;
  }
  const auto info = registry.info(parsed->name);
  if (parsed->json)
    fmt::print("{}\n", to_json(info).dump(2));
  else
    print_plugin(info);
  return kSuccess;
}
}  // namespace

Command plugins_command() {
  return {"plugins", "list|show NAME", "the strategy plugins, their parameters and capabilities", run_plugins};
}

}  // namespace mneme::cli
