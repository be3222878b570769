#include "core/config/hydra_settings.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/config/python_text.h"

namespace mneme::config {

namespace {
enum class Type { kMap, kText, kMaybeText, kTexts, kMode, kNumber, kMaybeNumber, kMaybeFlag };

struct Setting {
  std::string_view path;  // below hydra
  Type type;
};

constexpr Setting kSettings[] = {
    {"mode", Type::kMode},
    {"run", Type::kMap},
    {"run.dir", Type::kText},
    {"sweep", Type::kMap},
    {"sweep.dir", Type::kText},
    {"sweep.subdir", Type::kText},
    {"sweeper.max_batch_size", Type::kMaybeNumber},
    {"output_subdir", Type::kMaybeText},
    {"help", Type::kMap},
    {"help.app_name", Type::kText},
    {"help.header", Type::kText},
    {"help.footer", Type::kText},
    {"help.template", Type::kText},
    {"overrides", Type::kMap},
    {"overrides.hydra", Type::kTexts},
    {"overrides.task", Type::kTexts},
    {"job", Type::kMap},
    {"job.name", Type::kText},
    {"job.chdir", Type::kMaybeFlag},
    {"job.override_dirname", Type::kText},
    {"job.id", Type::kText},
    {"job.num", Type::kNumber},
    {"job.config_name", Type::kMaybeText},
    {"job.env_set", Type::kMap},
    {"job.env_copy", Type::kTexts},
    {"job.config", Type::kMap},
    {"job.config.override_dirname", Type::kMap},
    {"job.config.override_dirname.kv_sep", Type::kText},
    {"job.config.override_dirname.item_sep", Type::kText},
    {"job.config.override_dirname.exclude_keys", Type::kTexts},
    {"runtime", Type::kMap},
};

std::string_view expected(Type type) {
  constexpr std::string_view names[] = {"a map",
                                        "text",
                                        "text or null",
                                        "a list of texts",
                                        "RUN, MULTIRUN or null",
                                        "a whole number",
                                        "a whole number or null",
                                        "true, false or null"};
  return names[static_cast<int>(type)];
}

bool is_whole(const Node& node) { return node.is_int() || (node.is_string() && parse_python_int(node.as_string())); }

bool is_flag(const Node& node) {
  if (node.is_bool() || node.is_int()) return true;
  constexpr std::string_view words[] = {"yes", "y", "on", "true", "no", "n", "off", "false"};
  return node.is_string() && std::find(std::begin(words), std::end(words), node.as_string()) != std::end(words);
}

bool is_mode(const Node& node) {
  if (node.is_int()) return node.int_digits() == "1" || node.int_digits() == "2";
  return node.is_string() && (node.as_string() == "RUN" || node.as_string() == "MULTIRUN");
}

bool fits(const Node& node, Type type) {
  const bool scalar = !node.is_container() && !node.is_null();
  switch (type) {
    case Type::kMap:
      return node.is_map();
    case Type::kText:
      return scalar;
    case Type::kMaybeText:
      return scalar || node.is_null();
    case Type::kTexts:
      return node.is_list();
    case Type::kMode:
      return node.is_null() || is_mode(node);
    case Type::kNumber:
      return is_whole(node);
    case Type::kMaybeNumber:
      return node.is_null() || is_whole(node);
    case Type::kMaybeFlag:
      return node.is_null() || is_flag(node);
  }
  return true;
}

std::vector<std::string> split(std::string_view path) {
  std::vector<std::string> parts(1);
  for (const char c : path)
    if (c == '.')
      parts.emplace_back();
    else
      parts.back() += c;
  return parts;
}

std::string text_at(const Node& root, const std::vector<std::string>& keys, const std::string& fallback) {
  const Node* node = at_path(root, keys);
  return node && node->is_string() ? node->as_string() : fallback;
}

// "lr=0.1,seed=3": the overrides sorted by key. A '/' in a value is written %2F, for it would begin a directory
// (deviation D16).
std::string override_dirname(const Node& job, const std::vector<Override>& overrides) {
  const std::string item_separator = text_at(job, {"config", "override_dirname", "item_sep"}, ",");
  const std::string value_separator = text_at(job, {"config", "override_dirname", "kv_sep"}, "=");
  const Node* excluded = at_path(job, {"config", "override_dirname", "exclude_keys"});
  const auto is_excluded = [&](const std::string& key) {
    if (!excluded || !excluded->is_list()) return false;
    const auto& keys = excluded->items();
    return std::any_of(keys.begin(), keys.end(), [&](const Node& k) { return k.is_string() && k.as_string() == key; });
  };
  std::vector<std::string> lines;
  for (const Override& override : overrides)
    if (!override.is_hydra() && !is_excluded(override.key)) lines.push_back(override.text);
  std::sort(lines.begin(), lines.end());
  std::string name;
  for (const std::string& line : lines) {
    if (!name.empty()) name += item_separator;
    for (const char c : line)
      if (c == '/')
        name += "%2F";
      else if (c == '=')
        name += value_separator;
      else
        name += c;
  }
  return name;
}

}  // namespace

const Node* at_path(const Node& root, const std::vector<std::string>& keys) {
  const Node* node = &root;
  for (const std::string& key : keys) {
    if (!node || !node->is_map()) return nullptr;
    node = node->find_typed(Kind::kString, key);
  }
  return node;
}

bool is_hydra_setting(std::string_view key) {
  return std::any_of(std::begin(kSettings), std::end(kSettings),
                     [&](const Setting& setting) { return key == fmt::format("hydra.{}", setting.path); });
}

void check_hydra_settings(const Node& hydra) {
  if (!hydra.is_map()) return;
  for (const Setting& setting : kSettings) {
    const Node* node = at_path(hydra, split(setting.path));
    if (!node || node->is_missing() || node->is_interpolation() || fits(*node, setting.type)) continue;
    throw ConfigError(fmt::format("{}: hydra.{}: expected {}, found {}", to_string(node->position()), setting.path,
                                  expected(setting.type), describe(*node)));
  }
}

bool is_multirun(const Node& hydra) {
  const Node* mode = at_path(hydra, {"mode"});
  if (!mode) return false;
  return mode->is_int() ? mode->int_digits() == "2" : mode->is_string() && mode->as_string() == "MULTIRUN";
}

std::vector<std::string> directory_warnings(const Node& hydra) {
  std::vector<std::string> warnings;
  for (const std::string_view path : {"run.dir", "sweep.dir", "sweep.subdir"}) {
    const Node* node = at_path(hydra, split(path));
    if (!node || node->position().file.empty() || node->position().file.starts_with("<hydra/")) continue;
    warnings.push_back(fmt::format("{}: hydra.{} does not place runs: each has a directory of its own below --out",
                                   to_string(node->position()), path));
  }
  return warnings;
}

void fill_hydra_runtime(Composition& composition, const std::string& name, const std::vector<Override>& overrides) {
  const auto section = [&](Node& parent, std::string_view key) -> Node& {
    Node* node = parent.find_typed(Kind::kString, key);
    return node && node->is_map() ? *node : parent.set(key, Node::map());
  };
  Node task = Node::list(), hydra = Node::list();
  for (const Override& override : overrides)
    (override.is_hydra() ? hydra : task).push_back(Node::string(override.text));
  Node& root = composition.hydra;
  if (!root.is_map()) return;
  Node& job = section(root, "job");
  job.set("override_dirname", Node::string(override_dirname(job, overrides)));
  job.set("config_name", Node::string(name));
  if (const Node* given = job.find("name"); !given || given->is_missing()) job.set("name", Node::string(name));
  section(root, "overrides").set("hydra", std::move(hydra));
  section(root, "overrides").set("task", std::move(task));
  Node& choices = section(section(root, "runtime"), "choices");
  for (const auto& [group, option] : composition.choices) choices.set(group, Node::string(option));
}

}  // namespace mneme::config
