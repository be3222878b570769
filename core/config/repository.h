#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/compose.h"
#include "core/config/node.h"

namespace mneme::config {

/// One entry of a file's defaults list, as written.
struct DefaultsEntry {
  bool is_group = false;
  std::string name;                    ///< group, or path of a config ("_self_" too)
  std::optional<std::string> package;  ///< behind '@'
  std::optional<std::string> option;   ///< of a group; nothing for null
  std::vector<std::string> options;    ///< of a group with a list of options
  bool has_options = false;
  bool optional = false;
  bool overrides = false;  ///< the keyword `override`
  Position position;
};

/// One config file with its defaults list taken out.
struct ConfigFile {
  Node content;  ///< a map, or another value for files that hold one
  std::vector<DefaultsEntry> defaults;
  std::optional<std::string> package;  ///< of the header "# @package X"
  std::string shown_path;              ///< for messages
  bool has_content = false;            ///< keys besides the defaults list
};

/// The config files below the search roots, each parsed once.
class Repository {
 public:
  explicit Repository(const Request& request);

  /// Adds directories behind the primary file's own ones. \param entries  as in hydra.searchpath: "file://DIR" or DIR
  void add_search_path(const std::vector<std::string>& entries, std::vector<std::string>& warnings);

  const std::string& primary_name() const { return primary_name_; }
  std::filesystem::path primary_path() const { return primary_path_; }

  /// The file of a config path such as "model/t5", or nullptr. Throws ConfigError if it cannot be read.
  const ConfigFile* load(const std::string& path);
  bool group_exists(const std::string& group) const;
  /// Sorted names of a group's options.
  std::vector<std::string> options(const std::string& group) const;
  /// Sorted names of the groups directly below the roots, for suggestions.
  std::vector<std::string> group_names() const;
  /// The roots, one per line, for messages.
  std::string search_path_text() const;
  const std::vector<std::string>& warnings() const { return warnings_; }
  void add_warnings(const std::vector<std::string>& more) {
    warnings_.insert(warnings_.end(), more.begin(), more.end());
  }

 private:
  std::optional<std::filesystem::path> find_file(const std::string& path) const;
  ConfigFile parse(std::string_view text, const std::string& shown_path);

  std::filesystem::path primary_path_;
  std::string primary_name_;
  std::vector<SearchRoot> roots_;
  std::size_t own_roots_ = 0;  // the first ones belong to the primary file
  std::map<std::string, std::unique_ptr<ConfigFile>> files_;
  mutable std::map<std::string, bool> groups_;
  std::vector<std::string> warnings_;
};

/// Hydra's own config files, such as "hydra/job_logging/default": their text, or nothing.
std::optional<std::string_view> builtin_config(std::string_view path);
/// Paths of all of Hydra's own config files.
std::vector<std::string_view> builtin_config_paths();

}  // namespace mneme::config
