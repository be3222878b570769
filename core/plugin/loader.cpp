#include "core/plugin/loader.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/suggest.h"
#include "core/plugin/library.h"

namespace mneme::plugin {
namespace fs = std::filesystem;

namespace {

/// Plugin files of the directories; several directories may lead to one file.
std::map<std::string, std::set<fs::path>> plugin_files(const std::vector<fs::path>& directories) {
  std::map<std::string, std::set<fs::path>> files;
  for (const auto& directory : directories) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(directory, error))
      if (entry.path().extension() == ".so") files[entry.path().stem()].insert(fs::weakly_canonical(entry.path()));
  }
  return files;
}

std::string join_paths(const auto& paths) {
  std::vector<std::string> texts;
  for (const fs::path& path : paths) texts.push_back(path.string() + (fs::exists(path) ? "" : " (not there)"));
  return fmt::format("{}", fmt::join(texts, ", "));
}

[[noreturn]] void throw_twice(const std::string& name, const std::set<fs::path>& files) {
  throw PluginError(
      fmt::format("strategy '{}' is there more than once: {}; remove all but one, shorten the plugin path, or "
                  "name the file instead",
                  name, join_paths(files)));
}

}  // namespace

std::vector<fs::path> plugin_search_path(std::vector<fs::path> first) {
  const char* variable = std::getenv("MNEME_PLUGIN_PATH");
  std::string_view rest = variable == nullptr ? "" : variable;
  while (!rest.empty()) {
    const auto end = std::min(rest.find(':'), rest.size());
    if (end > 0) first.emplace_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  first.push_back((program_directory() / "../lib/mneme/strategies").lexically_normal());
  return first;
}

PluginRegistry::PluginRegistry(std::vector<fs::path> search) : search_(std::move(search)) {}

fs::path PluginRegistry::find(const std::string& name_or_path) const {
  if (name_or_path.find('/') != std::string::npos || name_or_path.ends_with(".so")) {
    if (!fs::exists(name_or_path))
      throw PluginError(
          fmt::format("{}: there is no such plugin file; build it, or give a strategy's name", name_or_path));
    return fs::weakly_canonical(name_or_path);
  }
  const auto files = plugin_files(search_);
  const auto found = files.find(name_or_path);
  if (found == files.end()) {
    std::vector<std::string> names;
    for (const auto& [name, paths] : files) names.push_back(name);
    throw PluginError(
        fmt::format("strategy '{}' not found{}; searched {}; add a directory with --plugin-path or "
                    "MNEME_PLUGIN_PATH",
                    name_or_path, hint(name_or_path, names), join_paths(search_)));
  }
  if (found->second.size() > 1) throw_twice(name_or_path, found->second);
  return *found->second.begin();
}

const PluginDescriptor& PluginRegistry::open(const fs::path& file) {
  const PluginDescriptor*& descriptor = opened_[file];
  if (descriptor == nullptr) descriptor = &open_plugin(file);
  return *descriptor;
}

const PluginDescriptor& PluginRegistry::load(const std::string& name_or_path) {
  const fs::path file = find(name_or_path);
  const PluginDescriptor& descriptor = open(file);
  if (file.stem() != descriptor.name)
    throw PluginError(fmt::format("{}: holds the strategy '{}'; the file must be named {}.so", file.string(),
                                  descriptor.name, descriptor.name));
  return descriptor;
}

PluginInfo PluginRegistry::info(const std::string& name_or_path) {
  const PluginDescriptor& d = load(name_or_path);
  return {.name = d.name,
          .file = find(name_or_path),
          .version = d.version,
          .citation = d.citation,
          .summary = d.summary,
          .toolchain = d.toolchain,
          .capabilities = capability_names(d.capabilities),
          .parameters = with_context(fmt::format("asking strategy '{}' for its parameters", d.name), d.parameters),
          .error = ""};
}

std::vector<PluginInfo> PluginRegistry::list() {
  std::vector<PluginInfo> infos;
  for (const auto& [name, files] : plugin_files(search_)) {
    try {
      infos.push_back(info(name));
    } catch (const Error& e) {
      infos.push_back({.name = name, .file = *files.begin(), .error = e.what()});
    }
  }
  return infos;
}

std::unique_ptr<Strategy> create_strategy(const PluginDescriptor& descriptor, const Params& params) {
  const std::string doing = fmt::format("making strategy '{}'", descriptor.name);
  auto strategy = with_context(doing, [&] { return descriptor.create(params); });
  if (strategy == nullptr) throw PluginError(fmt::format("strategy '{}' made nothing", descriptor.name));
  if (const auto unread = params.unread(); !unread.empty())
    throw PluginError(
        fmt::format("strategy '{}' declares {} but its constructor does not read {}: a setting that nothing "
                    "reads is an error; read it, or do not declare it",
                    descriptor.name, fmt::join(unread, ", "), unread.size() == 1 ? "it" : "them"));
  return strategy;
}

}  // namespace mneme::plugin
