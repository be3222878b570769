#include "core/config/defaults_list.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/config/defaults_entry.h"
#include "core/config/resolve.h"
#include "core/config/utf8.h"

namespace mneme::config {

namespace {
constexpr int kMostLevels = 60;
constexpr std::size_t kLongestAdvice = 200;  // of an override to paste
constexpr std::string_view kMissing = "???";

std::string option_text(const std::optional<std::string>& option) { return option ? *option : "null"; }

std::string indented(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += "\n  " + line;
  return text;
}

[[noreturn]] void fail_override_of_group(const Override& override, const std::string& what) {
  throw ConfigError(located(override, what));
}
}  // namespace

/// An entry with its children: the entries of its file in order.
struct DefaultsBuilder::Tree {
  Entry entry;
  std::vector<std::unique_ptr<Tree>> children;
  Tree* parent = nullptr;
};

DefaultsBuilder::~DefaultsBuilder() = default;

DefaultsResult DefaultsBuilder::build(const std::vector<const Override*>& overrides) {
  read_overrides(overrides);
  Tree root;
  root.entry.is_virtual = true;
  for (const std::string& name : {std::string("hydra/config"), repository_.primary_name()}) {
    auto child = std::make_unique<Tree>();
    child->entry.name = name;
    child->entry.primary = name == repository_.primary_name();
    child->entry.set_parent("", "");
    child->parent = &root;
    root.children.push_back(std::move(child));
  }
  for (auto child = root.children.rbegin(); child != root.children.rend(); ++child)
    expand(**child, (*child)->entry.primary, false, 0);
  DefaultsResult result;
  std::set<std::string> seen;
  for (const auto& child : root.children) collect(*child, &root, seen, result.list);
  check_all_used();
  for (const auto& child : root.children) list_choices(*child, result.choices);
  result.warnings = std::move(warnings_);
  return result;
}

void DefaultsBuilder::read_overrides(const std::vector<const Override*>& overrides) {
  for (const Override* override : overrides) {
    const Element& value = override->value;
    const bool is_text = value.shape == Element::Shape::kScalar && value.scalar.is_string();
    const bool is_null = value.shape == Element::Shape::kScalar && value.scalar.is_null();
    if (override->type == OverrideType::kForceAdd)
      fail_override_of_group(*override, fmt::format("'++' does not work on config groups; use + or no prefix"));
    if (override->type == OverrideType::kDelete) {
      Deletion deletion{override->full_key(), override->value_type == ValueType::kNone, std::nullopt, override, false};
      if (!deletion.any && !is_text && !is_null)
        fail_override_of_group(*override, "the option of a group must be text");
      if (!deletion.any && is_text) deletion.option = value.scalar.as_string();
      std::erase_if(deletions_, [&](const Deletion& d) { return d.key == deletion.key; });
      deletions_.push_back(deletion);
      continue;
    }
    Choice choice{
        override->full_key(), std::nullopt, {}, value.shape == Element::Shape::kList, override, "", {}, false};
    for (const Element& item : value.items) {
      if (item.shape != Element::Shape::kScalar || !item.scalar.is_string())
        fail_override_of_group(*override, "the options of a group must be texts");
      choice.options.push_back(item.scalar.as_string());
    }
    if (is_text) choice.option = value.scalar.as_string();
    if (!is_text && !is_null && !choice.has_options)
      fail_override_of_group(*override, fmt::format("the option of a group must be text or a list of texts, found {}",
                                                    describe(to_node(value))));
    if (override->type == OverrideType::kAdd) {
      appended_.push_back(override);
    } else {
      std::erase_if(overridden_, [&](const Choice& c) { return c.key == choice.key; });
      overridden_.push_back(std::move(choice));
    }
  }
}

DefaultsBuilder::Choice* DefaultsBuilder::find_choice(const std::string& key) {
  for (Choice& choice : overridden_)
    if (choice.key == key) return &choice;
  return nullptr;
}

DefaultsBuilder::Deletion* DefaultsBuilder::find_deletion(const Entry& entry) {
  if (!entry.is_group || entry.has_options) return nullptr;
  const std::string key = entry.override_key();
  for (Deletion& deletion : deletions_)
    if (deletion.key == key && (deletion.any || deletion.option == entry.option)) return &deletion;
  return nullptr;
}

void DefaultsBuilder::note_choice(const Entry& entry) {
  if (!entry.is_group) return;
  const std::string key = entry.override_key();
  const Position first = chosen_at_.emplace(key, entry.position).first->second;
  const auto known = std::find_if(choices_.begin(), choices_.end(), [&](const auto& c) { return c.first == key; });
  if (known == choices_.end())
    choices_.emplace_back(key, entry.option);
  else if (known->second != entry.option)
    throw ConfigError(
        fmt::format("{}: the group '{}' is chosen twice: '{}' here and '{}' at {}; leave one out, or change the first "
                    "choice by 'override {}: OPTION' in the defaults list or {}=OPTION on the command line",
                    to_string(entry.position), key, option_text(entry.option), option_text(known->second),
                    to_string(first), key, key));
  keys_of_group_[entry.group_path()].insert(key);
}

void DefaultsBuilder::fail_missing_option(const Entry& entry) const {
  if (!entry.is_group) throw ConfigError(fmt::format("{}: a config's name cannot be ???", to_string(entry.position)));
  throw ConfigError(fmt::format("{}: you must choose '{}', for instance {}=NAME; its options are:{}",
                                to_string(entry.position), entry.override_key(), entry.override_key(),
                                indented(repository_.options(entry.group_path()))));
}

void DefaultsBuilder::fail_not_found(const Tree& tree) const {
  const Entry& entry = tree.entry;
  if (entry.primary)
    throw ConfigError(fmt::format("{}: there is no such config file", repository_.primary_path().string()));
  std::string message = fmt::format("{}: there is no config '{}'", to_string(entry.position), entry.config_path());
  if (entry.is_group) {
    const std::vector<std::string> options = repository_.options(entry.group_path());
    if (const std::string near = nearest(option_text(entry.option), options); !near.empty())
      message += fmt::format("; did you mean '{}'?", near);
    if (!options.empty()) message += fmt::format("\nOptions of '{}':{}", entry.group_path(), indented(options));
  }
  throw ConfigError(message + "\nSearched in:" + repository_.search_path_text());
}

// Whether an entry has no file to expand: deleted, no option, an option still to be given, or an optional one not
// there.
bool DefaultsBuilder::stop_at(Entry& entry, Tree& tree, const ConfigFile*& file) {
  if (Deletion* deletion = find_deletion(entry)) {
    entry.deleted = true;
    deletion->used = true;
    return true;
  }
  note_choice(entry);
  if (entry.is_group && !entry.option) return true;
  if (entry.config_path().ends_with(kMissing)) {
    if (allow_missing_) return true;
    fail_missing_option(entry);
  }
  file = repository_.load(entry.config_path());
  if (file) return false;
  if (!entry.optional) fail_not_found(tree);
  entry.deleted = true;
  return true;
}

void DefaultsBuilder::expand(Tree& tree, bool is_root, bool interpolated, int depth) {
  Entry& entry = tree.entry;
  if (depth > kMostLevels) {
    std::vector<std::string> chain;
    for (const Tree* at = &tree; at && !at->entry.is_virtual && chain.size() < 6; at = at->parent)
      chain.push_back(at->entry.config_path());
    const bool own = chain.size() > 1 && chain[0] == chain[1];
    throw ConfigError(
        fmt::format("{}: the defaults lists lead in a circle: {} …{}", to_string(entry.position),
                    fmt::join(chain.rbegin(), chain.rend(), " -> "),
                    own ? "\nIf another config of this name was meant, rename this file: it hides it" : ""));
  }
  if (!entry.is_missing())
    if (const ConfigFile* file = entry.is_group && !entry.option ? nullptr : repository_.load(entry.config_path()))
      entry.set_package_header(file->package);
  const ConfigFile* file = nullptr;
  if (stop_at(entry, tree, file)) return;

  std::vector<std::unique_ptr<Tree>> entries = entries_of(tree, *file, is_root);
  bool self_added = false;
  if (!file->defaults.empty() || (is_root && !appended_.empty())) check_self(entry, entries, *file, self_added);
  if (is_root)
    for (const Override* override : appended_) {
      auto child = std::make_unique<Tree>();
      child->entry = Entry::appended(*override);
      entries.push_back(std::move(child));
    }
  collect_overrides(entry, entries, interpolated);

  std::vector<std::unique_ptr<Tree>> children;   // from the last to the first
  std::vector<std::unique_ptr<Tree>> described;  // copies of the entries for interpolations, which see all of them
  for (const auto& child : entries) {
    described.push_back(std::make_unique<Tree>());
    described.back()->entry = child->entry;
  }
  for (auto child = entries.rbegin(); child != entries.rend(); ++child) {
    if ((*child)->entry.overrides) continue;
    expand_child(tree, std::move(*child), children, interpolated, depth);
  }
  for (auto& child : children) {
    if (!child->entry.is_interpolation()) continue;
    resolve_interpolation(child->entry, described, self_added);
    child->entry.set_parent(entry.group_path(), entry.final_package());
    expand(*child, false, true, depth + 1);
  }
  std::reverse(children.begin(), children.end());
  tree.children = std::move(children);
}

std::vector<std::unique_ptr<DefaultsBuilder::Tree>> DefaultsBuilder::entries_of(Tree& tree, const ConfigFile& file,
                                                                                bool) {
  std::vector<std::unique_ptr<Tree>> entries;
  for (const DefaultsEntry& written : file.defaults) {
    auto child = std::make_unique<Tree>();
    child->entry = Entry(written);
    child->parent = &tree;
    entries.push_back(std::move(child));
  }
  return entries;
}

void DefaultsBuilder::check_self(const Entry& parent, std::vector<std::unique_ptr<Tree>>& entries,
                                 const ConfigFile& file, bool& added) {
  bool has_self = false, has_plain = false;
  for (const auto& child : entries) {
    if (!child->entry.overrides) has_plain = true;
    if (!child->entry.is_self()) continue;
    if (has_self)
      throw ConfigError(fmt::format("{}: _self_ stands twice in the defaults list", to_string(child->entry.position)));
    has_self = true;
  }
  added = !has_self;
  if ((has_self || !has_plain) && !entries.empty()) return;
  if (parent.primary && file.has_content && has_plain)
    warnings_.push_back(
        fmt::format("{}: the defaults list has no _self_: this file's own values come last. Write _self_ "
                    "where they belong",
                    file.shown_path));
  auto self = std::make_unique<Tree>();
  self->entry.name = "_self_";
  entries.push_back(std::move(self));
}

void DefaultsBuilder::collect_overrides(const Entry& parent, std::vector<std::unique_ptr<Tree>>& entries,
                                        bool interpolated) {
  const Entry* last = nullptr;
  for (const auto& child : entries) {
    Entry& entry = child->entry;
    if (entry.is_self()) continue;
    entry.set_parent(parent.group_path(), parent.final_package());
    if (last && !entry.overrides && !entry.external)
      throw ConfigError(
          fmt::format("{}: 'override {}' stands before '{}'; overrides come at the end of the defaults list",
                      to_string(last->position), last->override_key(), entry.name));
    if (!entry.overrides) continue;
    last = &entry;
    if (interpolated)
      throw ConfigError(fmt::format("{}: a config that is chosen by an interpolation cannot override other choices",
                                    to_string(entry.position)));
    const std::string key = entry.override_key();
    if (!find_choice(key))
      overridden_.push_back(
          {key, entry.option, entry.options, entry.has_options, nullptr, parent.config_path(), entry.position, false});
  }
}

void DefaultsBuilder::expand_child(Tree& parent, std::unique_ptr<Tree> child,
                                   std::vector<std::unique_ptr<Tree>>& children, bool interpolated, int depth) {
  Entry& entry = child->entry;
  child->parent = &parent;
  if (entry.is_self()) {
    children.push_back(std::move(child));
    return;
  }
  if (entry.is_group)
    if (Choice* choice = find_choice(entry.override_key())) {
      entry.option = choice->option;
      entry.options = choice->options;
      entry.has_options = choice->has_options;
      entry.position = choice->external ? choice->external->position : choice->position;
      choice->used = true;
    }
  if (entry.has_options) {
    for (auto option = entry.options.rbegin(); option != entry.options.rend(); ++option) {
      if (option->find("${") != std::string::npos)
        throw ConfigError(
            fmt::format("{}: an interpolation cannot stand in a list of options", to_string(entry.position)));
      auto one = std::make_unique<Tree>();
      one->entry = entry.single_option(*option);
      one->entry.set_parent(parent.entry.group_path(), parent.entry.final_package());
      one->parent = &parent;
      expand(*one, false, interpolated, depth + 1);
      children.push_back(std::move(one));
    }
    return;
  }
  if (!entry.is_interpolation()) expand(*child, false, interpolated, depth + 1);
  children.push_back(std::move(child));
}

// Only group choices (and resolvers such as oc.env) can stand in the interpolations of a defaults list.
void DefaultsBuilder::resolve_interpolation(Entry& entry, const std::vector<std::unique_ptr<Tree>>& entries,
                                            bool self_added) {
  Node known = Node::map();
  for (const auto& [key, option] : choices_) known.set(key, option ? Node::string(*option) : Node::null());
  Node list = Node::list();
  for (const auto& other : entries) {
    if (self_added && other->entry.is_self()) continue;
    list.push_back(other->entry.described());
  }
  known.set("defaults", std::move(list));
  const std::string text = entry.is_group ? *entry.option : entry.config_path();
  Node value = Node::string(text);
  value.set_position(entry.position);
  try {
    const Resolver::Target target = Resolver(known).dereference(value, {&known});
    if (!target.node->is_string())
      throw ConfigError(
          fmt::format("it gives {} {}, but must give text", kind_name(target.node->kind()), describe(*target.node)));
    (entry.is_group ? entry.option.emplace() : entry.name) = target.node->as_string();
  } catch (const ConfigError& e) {
    std::vector<std::string> names;
    for (const auto& choice : choices_)
      if (!choice.first.starts_with("hydra/")) names.push_back(choice.first);
    throw ConfigError(
        fmt::format("{}: the interpolation '{}' in a defaults list cannot be resolved: {}\nGroups that it can "
                    "name: {}",
                    to_string(entry.position), text, e.message(), fmt::join(names, ", ")));
  }
}

void DefaultsBuilder::check_all_used() const {
  for (const Choice& choice : overridden_) {
    if (choice.used) continue;
    const std::string group = choice.key.substr(0, choice.key.find('@'));
    const auto known = keys_of_group_.find(group);
    std::string message = fmt::format("the group '{}' is not in the defaults list", choice.key);
    if (known != keys_of_group_.end()) message += fmt::format("; did you mean {}?", fmt::join(known->second, " or "));
    if (!choice.external) throw ConfigError(fmt::format("{}: {}", to_string(choice.position), message));
    fail_override_of_group(*choice.external,
                           fmt::format("{}\nTo add it, write {}", message,
                                       shell_quoted("+" + shortened(choice.external->text, kLongestAdvice))));
  }
  for (const Deletion& deletion : deletions_)
    if (!deletion.used)
      fail_override_of_group(*deletion.source,
                             fmt::format("'{}{}' is not in the defaults list and cannot be deleted", deletion.key,
                                         deletion.any ? "" : "=" + option_text(deletion.option)));
}

// In the order of the defaults lists; choices_ is in the order in which they were met.
void DefaultsBuilder::list_choices(const Tree& tree,
                                   std::vector<std::pair<std::string, std::optional<std::string>>>& list) const {
  const Entry& entry = tree.entry;
  if (entry.is_group && !entry.is_self() && !entry.deleted) {
    const std::string key = entry.override_key();
    const auto same = [&key](const auto& choice) { return choice.first == key; };
    const auto known = std::find_if(choices_.begin(), choices_.end(), same);
    if (known != choices_.end() && std::find_if(list.begin(), list.end(), same) == list.end()) list.push_back(*known);
  }
  for (const auto& child : tree.children) list_choices(*child, list);
}

void DefaultsBuilder::collect(const Tree& tree, const Tree* parent, std::set<std::string>& seen,
                              std::vector<ResolvedDefault>& list) const {
  const Entry& entry = tree.entry;
  if (!tree.children.empty()) {
    for (const auto& child : tree.children) collect(*child, &tree, seen, list);
    return;
  }
  if (entry.deleted || entry.is_missing() || (entry.is_group && !entry.is_self() && !entry.option)) return;
  if (entry.is_self()) {
    list.push_back({parent->entry.config_path(), parent->entry.final_package(), parent->entry.primary});
    return;
  }
  if (entry.is_group && !seen.insert(entry.override_key()).second)
    throw ConfigError(fmt::format("{}: '{}' stands more than once in the final defaults list",
                                  to_string(entry.position), entry.override_key()));
  list.push_back({entry.config_path(), entry.final_package(), entry.primary});
}

}  // namespace mneme::config
