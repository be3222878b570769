#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/strategy/descriptor.h"
#include "core/strategy/strategy.h"

namespace mneme::plugin {

/// What a plugin says about itself, for lists and records.
struct PluginInfo {
  std::string name;
  std::filesystem::path file;
  std::string version = {}, citation = {}, summary = {}, toolchain = {};
  std::vector<std::string> capabilities = {};
  ParamSpecs parameters = {};
  std::string error = {};  ///< why it cannot be used, "" if it can; then only name and file are set
};

/// Directories that are searched for plugins: those given (--plugin-path), those of $MNEME_PLUGIN_PATH (separated by
/// ':'), and that of the installation, ../lib/mneme/strategies beside the program's directory.
std::vector<std::filesystem::path> plugin_search_path(std::vector<std::filesystem::path> first = {});

/// Finds and opens strategy plugins by name. The plugin <name> is the file <name>.so in one of the directories.
class PluginRegistry {
 public:
  explicit PluginRegistry(std::vector<std::filesystem::path> search);

  /// Every <name>.so in the search path, sorted by name; one that cannot be used carries its error.
  std::vector<PluginInfo> list();

  /// \param name_or_path a plugin's name, or the path of a file: with a '/' or ending in ".so".
  /// Throws PluginError: not found (with the nearest name and where it was sought), the same name in two directories,
  /// or what open_plugin() refuses. The descriptor lives until the process ends.
  const PluginDescriptor& load(const std::string& name_or_path);

  PluginInfo info(const std::string& name_or_path);

  const std::vector<std::filesystem::path>& search() const { return search_; }

 private:
  std::filesystem::path find(const std::string& name_or_path) const;
  const PluginDescriptor& open(const std::filesystem::path& file);

  std::vector<std::filesystem::path> search_;
  std::map<std::filesystem::path, const PluginDescriptor*> opened_;
};

/// Makes a strategy. Throws PluginError if its constructor leaves a declared parameter unread, and adds the plugin's
/// name to what else the constructor throws.
std::unique_ptr<Strategy> create_strategy(const PluginDescriptor& descriptor, const Params& params);

}  // namespace mneme::plugin
