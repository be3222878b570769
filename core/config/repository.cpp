#include "core/config/repository.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/suggest.h"
#include "core/config/tree.h"
#include "core/config/utf8.h"
#include "core/config/yaml.h"

namespace mneme::config {

namespace fs = std::filesystem;

namespace {
constexpr std::size_t kHeaderBytes = 512;  // Hydra looks for the header in the first 512 characters
constexpr int kGroupSearchDepth = 3;

bool directory_exists(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

bool file_exists(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

std::vector<fs::path> children(const fs::path& directory) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error))
    paths.push_back(entry->path());
  std::sort(paths.begin(), paths.end());
  return paths;
}

// A directory without config files is none of ours: data/ beside a primary file is no config group.
bool holds_configs(const fs::path& directory, int depth) {
  const std::vector<fs::path> paths = children(directory);
  for (const fs::path& path : paths)
    if (path.extension() == ".yaml") return true;
  if (depth > 0)
    for (const fs::path& path : paths)
      if (directory_exists(path) && holds_configs(path, depth - 1)) return true;
  return false;
}

std::string with_suffix(const std::string& path) { return path.ends_with(".yaml") ? path : path + ".yaml"; }

// The part of a config path below a root's mount point, or nothing if it lies elsewhere.
std::optional<std::string> below_mount(const std::string& path, const std::string& mount) {
  if (mount.empty()) return path;
  if (path == mount) return std::string();
  if (path.starts_with(mount + "/")) return path.substr(mount.size() + 1);
  return std::nullopt;
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\f\v");
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\f\v") - first + 1);
}

// "# @package train.optim" in the comment lines that a file begins with.
std::optional<std::string> package_header(std::string_view text, const std::string& shown_path) {
  std::optional<std::string> package;
  text = text.substr(0, kHeaderBytes);
  int number = 0;
  for (std::size_t i = 0; i < text.size(); ++number) {
    const std::size_t end = std::min(text.find_first_of("\n\r", i), text.size());
    std::string_view line = trimmed(text.substr(i, end - i));
    i = end + 1;
    if (line.empty()) continue;
    if (line[0] != '#') break;
    line = trimmed(line.substr(1));
    if (!line.starts_with('@')) break;
    std::vector<std::string> words;
    for (std::size_t at = 0; at < line.size();) {
      const std::size_t stop = std::min(line.find(' ', at), line.size());
      if (stop > at) words.emplace_back(line.substr(at, stop - at));
      at = stop + 1;
    }
    if (words.size() != 2)
      throw ConfigError(
          fmt::format("{}:{}:1: a header line is '# @package NAME', found '{}'", shown_path, number + 1, line));
    if (words[0] == "@package") package = words[1];
  }
  return package;
}

class DefaultsReader {
 public:
  explicit DefaultsReader(const std::string& shown_path) : shown_path_(shown_path) {}

  std::vector<DefaultsEntry> read(const Node& list) const {
    if (!list.is_list())
      fail(list, fmt::format("the defaults list must be a list, found a {}", kind_name(list.kind())));
    std::vector<DefaultsEntry> entries;
    for (const Node& item : list.items()) {
      entries.push_back(item.is_map() ? group(item) : config(item));
      entries.back().position = item.position();
    }
    return entries;
  }

 private:
  [[noreturn]] void fail(const Node& node, const std::string& what) const {
    const Position at = node.position();
    throw ConfigError(fmt::format("{}: {}", at.line ? to_string(at) : shown_path_, what));
  }

  static std::string split_package(const std::string& text, std::optional<std::string>& package) {
    const auto at = text.find('@');
    if (at == text.npos) return text;
    package = text.substr(at + 1, text.find(':', at) - at - 1);
    if (*package == "_here_") package = "";
    return text.substr(0, at);
  }

  DefaultsEntry config(const Node& item) const {
    if (!item.is_string())
      fail(item, fmt::format("an entry of the defaults list is 'group: option' or a config's name, found {}",
                             describe(item)));
    DefaultsEntry entry;
    entry.name = split_package(item.as_string(), entry.package);
    if (entry.name == "_self_" && entry.package) fail(item, "_self_ takes no package");
    return entry;
  }

  DefaultsEntry group(const Node& item) const {
    if (item.size() != 1 || item.key_kind(0) != Kind::kString)
      fail(item, fmt::format("an entry of the defaults list holds one 'group: option', found {}", describe(item)));
    const auto& [key, value] = item.entries()[0];
    DefaultsEntry entry;
    entry.is_group = true;
    std::string words = split_package(key, entry.package);
    bool keywords = true;  // up to the first other word
    for (auto blank = words.find(' '); blank != words.npos; blank = words.find(' ')) {
      const std::string word = words.substr(0, blank);
      words.erase(0, blank + 1);
      if (keywords && word == "optional")
        entry.optional = true;
      else if (keywords && word == "override")
        entry.overrides = true;
      else
        keywords = false;
    }
    entry.name = words;
    if (entry.name.empty()) fail(item, "the group's name is empty");
    if (value.is_list()) {
      entry.has_options = true;
      for (const Node& option : value.items()) {
        if (!option.is_string()) fail(option, fmt::format("an option must be text, found {}", describe(option)));
        entry.options.push_back(option.as_string());
      }
    } else if (value.is_string()) {
      entry.option = value.as_string();
    } else if (!value.is_null()) {
      fail(value, fmt::format("an option must be text, a list of texts or null, found {} {}; quote it if it is a name",
                              kind_name(value.kind()), describe(value)));
    }
    return entry;
  }

  const std::string& shown_path_;
};
}  // namespace

Repository::Repository(const Request& request)
    : primary_path_(request.file), primary_name_(request.file.stem().string()) {
  const fs::path directory = request.file.has_parent_path() ? request.file.parent_path() : fs::path(".");
  roots_.push_back({directory, ""});
  if (directory_exists(directory / "conf")) roots_.push_back({directory / "conf", ""});
  own_roots_ = roots_.size();
  roots_.insert(roots_.end(), request.search_path.begin(), request.search_path.end());
}

void Repository::add_search_path(const std::vector<std::string>& entries, std::vector<std::string>& warnings) {
  std::vector<SearchRoot> added;
  for (const std::string& entry : entries) {
    const bool is_url = entry.find("://") != entry.npos;
    const fs::path named = entry.starts_with("file://") ? entry.substr(7) : entry;
    fs::path directory = named;
    if (!directory_exists(directory) && named.is_relative()) directory = primary_path_.parent_path() / named;
    if ((is_url && !entry.starts_with("file://")) || !directory_exists(directory)) {
      warnings.push_back(fmt::format("hydra.searchpath: '{}' is no directory that can be read", entry));
      continue;
    }
    added.push_back({directory, ""});
  }
  roots_.insert(roots_.begin() + static_cast<std::ptrdiff_t>(own_roots_), added.begin(), added.end());
  groups_.clear();
}

std::optional<fs::path> Repository::find_file(const std::string& path) const {
  for (const SearchRoot& root : roots_)
    if (const auto rest = below_mount(path, root.mount); rest && !rest->empty())
      if (const fs::path file = root.directory / with_suffix(*rest); file_exists(file)) return file;
  return std::nullopt;
}

const ConfigFile* Repository::load(const std::string& path) {
  const auto known = files_.find(path);
  if (known != files_.end()) return known->second.get();
  std::unique_ptr<ConfigFile> file;
  if (path == primary_name_) {
    if (!file_exists(primary_path_))
      throw ConfigError(fmt::format("{}: there is no such config file", primary_path_.string()));
    file = std::make_unique<ConfigFile>(parse(read_file(primary_path_), primary_path_.string()));
  } else if (const auto text = builtin_config(path.ends_with(".yaml") ? path.substr(0, path.size() - 5) : path)) {
    file = std::make_unique<ConfigFile>(parse(*text, "<" + path + ">"));
  } else if (const auto found = find_file(path)) {
    file = std::make_unique<ConfigFile>(parse(read_file(*found), found->string()));
  }
  return files_.emplace(path, std::move(file)).first->second.get();
}

ConfigFile Repository::parse(std::string_view text, const std::string& shown_path) {
  ConfigFile file;
  file.shown_path = shown_path;
  file.package = package_header(text, shown_path);
  file.content = parse_yaml(text, shown_path, &warnings_);
  if (file.content.is_string()) file.content = parse_yaml(file.content.as_string(), shown_path, &warnings_);
  if (file.content.is_null() || file.content.is_string()) {
    Node map = Node::map();
    map.set_position_of(file.content);
    if (file.content.is_string()) map.set(file.content.as_string(), Node::null());
    file.content = std::move(map);
  }
  if (!file.content.is_container())
    throw ConfigError(fmt::format("{}: a config file holds a map, found {}", to_string(file.content.position()),
                                  describe(file.content)));
  check_interpolations(file.content);
  if (!file.content.is_map()) return file;
  if (const Node* defaults = file.content.find_typed(Kind::kString, "defaults")) {
    file.defaults = DefaultsReader(shown_path).read(*defaults);
    file.content.erase("defaults");
  }
  for (const auto& entry : file.content.entries()) file.has_content = file.has_content || !entry.second.is_missing();
  return file;
}

bool Repository::group_exists(const std::string& group) const {
  const auto known = groups_.find(group);
  if (known != groups_.end()) return known->second;
  bool exists = false;
  for (const std::string_view path : builtin_config_paths()) exists = exists || path.starts_with(group + "/");
  for (const SearchRoot& root : roots_) {
    if (exists || group.empty()) break;
    const auto rest = below_mount(group, root.mount);
    if (!rest) {
      exists = root.mount.starts_with(group + "/") && directory_exists(root.directory);
      continue;
    }
    const fs::path directory = rest->empty() ? root.directory : root.directory / *rest;
    exists = directory_exists(directory) && holds_configs(directory, kGroupSearchDepth);
  }
  return groups_[group] = exists;
}

std::vector<std::string> Repository::options(const std::string& group) const {
  std::set<std::string> names;
  for (const std::string_view path : builtin_config_paths())
    if (path.starts_with(group + "/") && path.find('/', group.size() + 1) == path.npos)
      names.emplace(path.substr(group.size() + 1));
  for (const SearchRoot& root : roots_) {
    const auto rest = below_mount(group, root.mount);
    if (!rest) continue;
    for (const fs::path& path : children(rest->empty() ? root.directory : root.directory / *rest))
      if (path.extension() == ".yaml" && file_exists(path)) names.insert(path.stem().string());
  }
  return {names.begin(), names.end()};
}

std::vector<std::string> Repository::group_names() const {
  const auto is_root = [&](const fs::path& path) {
    return std::any_of(roots_.begin(), roots_.end(), [&](const SearchRoot& root) { return root.directory == path; });
  };
  std::set<std::string> names;
  for (const SearchRoot& root : roots_) {
    if (!root.mount.empty()) {
      names.insert(root.mount);
      continue;
    }
    for (const fs::path& path : children(root.directory))
      if (directory_exists(path) && !is_root(path) && holds_configs(path, 1)) names.insert(path.filename().string());
  }
  return {names.begin(), names.end()};
}

std::string Repository::search_path_text() const {
  std::string text;
  for (const SearchRoot& root : roots_)
    text += fmt::format("\n  {}{}", root.directory.string(),
                        root.mount.empty() ? "" : fmt::format(" (as {}/)", root.mount));
  return text;
}

}  // namespace mneme::config
