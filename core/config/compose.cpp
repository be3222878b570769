#include "core/config/compose.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/config/defaults_list.h"
#include "core/config/hydra_settings.h"
#include "core/config/repository.h"
#include "core/config/sweep.h"
#include "core/config/tree.h"
#include "core/config/utf8.h"

namespace mneme::config {

/// What the files give before values are overridden.
struct Composer::Base {
  Node tree;  // with the key hydra
  std::vector<std::pair<std::string, std::string>> choices;
  std::vector<std::string> warnings;
};

namespace {
std::vector<std::string> texts(const Node& list) {
  const auto fail = [&list]() -> std::string {
    throw ConfigError(fmt::format("{}: hydra.searchpath must be a list of texts, found {}", to_string(list.position()),
                                  describe(list)));
  };
  if (!list.is_list()) fail();
  std::vector<std::string> result;
  for (const Node& item : list.items()) result.push_back(item.is_string() ? item.as_string() : fail());
  return result;
}

void add_search_path(Repository& repository, const std::vector<std::string>& overrides,
                     std::vector<std::string>& warnings) {
  const ConfigFile* primary = repository.load(repository.primary_name());
  if (!primary->content.is_map())
    throw ConfigError(fmt::format("{}: the primary config must be a map, found a {}", primary->shown_path,
                                  kind_name(primary->content.kind())));
  for (const std::string& text : overrides) {
    if (!text.starts_with("hydra.searchpath=")) continue;
    const Override override = parse_override(text);
    if (!override.is_sweep()) return repository.add_search_path(texts(to_node(override.value)), warnings);
  }
  const Node* list = at_path(primary->content, {"hydra", "searchpath"});
  if (list && !list->is_null()) repository.add_search_path(texts(*list), warnings);
}

std::vector<Override> parse_all(const std::vector<std::string>& texts) {
  std::vector<Override> overrides;
  OverrideOptions options = default_override_options();
  for (const std::string& text : texts) {
    options.number = static_cast<int>(overrides.size()) + 1;
    overrides.push_back(parse_override(text, options));
  }
  return overrides;
}

void refuse_sweeps(const std::vector<Override>& overrides) {
  for (const Override& override : overrides) {
    if (!override.is_sweep()) continue;
    if (override.value_type != ValueType::kSimpleChoice)
      throw ConfigError(located(override, "this is a sweep: add -m (--multirun) to run all of its values"));
    constexpr std::size_t kLongest = 200;
    const std::string value = shortened(override.text.substr(override.value_offset), kLongest);
    const std::string key = shortened(override.text.substr(0, override.value_offset), kLongest);
    throw ConfigError(located(override, fmt::format("a value with commas can mean three things:\n"
                                                    "  a list:  {}\n  a text:  {}\n  a sweep: add -m (--multirun)",
                                                    shell_quoted(fmt::format("{}[{}]", key, value)),
                                                    shell_quoted(fmt::format("{}'{}'", key, value)))));
  }
}
}  // namespace

Composer::Composer(const Request& request) : repository_(std::make_unique<Repository>(request)) {
  std::vector<std::string> warnings;
  if (!repository_->load(repository_->primary_name()))
    throw ConfigError(fmt::format("{}: there is no such config file", request.file.string()));
  add_search_path(*repository_, request.overrides, warnings);
  repository_->add_warnings(warnings);
}

Composer::~Composer() = default;

bool Composer::is_group(const std::string& key) const { return repository_->group_exists(key); }
std::vector<std::string> Composer::group_options(const std::string& group) const { return repository_->options(group); }
const std::string& Composer::primary_name() const { return repository_->primary_name(); }

const Composer::Base& Composer::base(const std::vector<const Override*>& group_overrides, bool lenient) {
  std::string key = lenient ? "lenient" : "strict";
  for (const Override* override : group_overrides) key += "\n" + override->text;
  for (const auto& [known, known_base] : bases_)
    if (known == key) return *known_base;
  auto result = std::make_unique<Base>();
  DefaultsResult defaults = DefaultsBuilder(*repository_, lenient).build(group_overrides);
  result->tree = Node::map();
  for (const ResolvedDefault& item : defaults.list) {
    const ConfigFile* file = repository_->load(item.path);
    const Node embedded = embed_in_package(file->content, item.package);
    if (!embedded.is_map())
      throw ConfigError(fmt::format("{}: a config at the root must be a map, found a {}", file->shown_path,
                                    kind_name(embedded.kind())));
    if (!item.primary && item.path != "hydra/config" && at_path(embedded, {"hydra", "searchpath"}))
      throw ConfigError(fmt::format("{}: hydra.searchpath can only be set in the primary config", file->shown_path));
    merge_tree(result->tree, embedded);
  }
  const ConfigFile* primary = repository_->load(repository_->primary_name());
  result->tree.set_position_of(primary->content);
  for (const auto& [group, option] : defaults.choices)
    if (!group.starts_with("hydra/")) result->choices.emplace_back(group, option.value_or("null"));
  result->warnings = repository_->warnings();
  result->warnings.insert(result->warnings.end(), defaults.warnings.begin(), defaults.warnings.end());
  bases_.emplace_back(std::move(key), std::move(result));
  return *bases_.back().second;
}

Composition Composer::compose(const std::vector<Override>& overrides) { return compose(overrides, false); }

Composition Composer::compose_leniently(const std::vector<Override>& overrides) { return compose(overrides, true); }

Composition Composer::compose(const std::vector<Override>& overrides, bool lenient) {
  std::vector<const Override*> groups, values;
  for (const Override& override : overrides) {
    if (override.is_sweep()) continue;
    const bool is_map = override.value.shape == Element::Shape::kDict;
    (!is_map && repository_->group_exists(override.key) ? groups : values).push_back(&override);
  }
  const Base& shared = base(groups, lenient);
  Composition result;
  result.config = shared.tree;
  result.choices = shared.choices;
  result.warnings = shared.warnings;
  TreeUpdater updater(result.config, result.warnings);
  for (const Override* override : values) {
    const bool deletes = override->type == OverrideType::kDelete;
    if (deletes && is_hydra_setting(override->key))
      throw ConfigError(
          located(*override, fmt::format("'{}' is one of Hydra's own settings and cannot be deleted", override->key)));
    if (!deletes && override->key.find('/') != std::string::npos && !result.config.has(override->key))  // deviation D8
      throw ConfigError(located(*override, fmt::format("there is no config group '{}'{}", override->key,
                                                       hint(override->key, repository_->group_names()))));
    updater.apply(*override);
  }
  if (Node* hydra = result.config.find_typed(Kind::kString, "hydra")) {
    result.hydra = std::move(*hydra);
    result.config.erase("hydra");
    check_hydra_settings(result.hydra);
    fill_hydra_runtime(result, repository_->primary_name(), overrides);
  }
  return result;
}

Composition compose(const Request& request) {
  std::vector<Override> overrides = parse_all(request.overrides);
  if (!request.multirun) refuse_sweeps(overrides);
  for (Override& override : overrides) draw_orders(override.value, 0, override.key);
  return Composer(request).compose(overrides);
}

Node resolve(const Composition& composition, ResolveOptions options) {
  Node root = composition.config;
  Node& hydra = root.set("hydra", composition.hydra);
  hydra.set_position_of(composition.hydra);
  options.hydra = &hydra;
  options.skip_hydra = true;
  Node result = resolve(root, options);
  result.erase("hydra");
  return result;
}

}  // namespace mneme::config
