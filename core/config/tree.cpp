#include "core/config/tree.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/config/interpolation_grammar.h"
#include "core/config/override_functions.h"
#include "core/config/python_text.h"
#include "core/config/resolve.h"
#include "core/config/utf8.h"

namespace mneme::config {

namespace {
using Parents = Resolver::Parents;
constexpr std::size_t kLongestAdvice = 200;  // of an override to paste
constexpr std::size_t kMostLevels = 100;

// Merges into maps below one root, which interpolations are looked up in.
class Merger {
 public:
  /// \param closed  refuse keys that the target lacks
  Merger(Node& root, bool closed) : root_(root), closed_(closed) {}

  void merge(Node& target, const Node& source, Parents parents) {
    parents.push_back(&target);
    for (std::size_t i = 0; i < source.size(); ++i) {
      const auto& [key, value] = source.entries()[i];
      Node* old = target.find_typed(source.key_kind(i), key);
      if (!old) {
        if (closed_) throw ConfigError(fmt::format("there is no key '{}' here{}", key, hint(key, target.keys())));
        target.set_typed(source.key_kind(i), key, value);
        continue;
      }
      if (old->is_interpolation()) expand(*old, parents);
      if (old->is_map() && value.is_map())
        merge(*old, value, parents);
      else if (old->is_container() && value.is_container() && old->kind() != value.kind())
        throw ConfigError(fmt::format("{}: a {} cannot be merged into the {} '{}' of {}", to_string(value.position()),
                                      kind_name(value.kind()), kind_name(old->kind()), key,
                                      to_string(old->position())));
      else if (!value.is_missing())
        *old = value;
    }
  }

 private:
  // A copy of the container that an interpolation leads to takes its place; others stay as they are.
  void expand(Node& node, const Parents& parents) {
    Resolver::Target target;
    try {
      target = Resolver(root_).dereference(node, parents);
    } catch (const ConfigError&) {
      return;
    }
    if (!target.node->is_container() || target.raw) return;
    Node copy = *target.node;
    node = std::move(copy);
  }

  Node& root_;
  bool closed_;
};

std::string text_with_prefix(const Override& override, std::string_view prefix) {
  std::string_view text = override.text;
  while (!text.empty() && (text[0] == '+' || text[0] == '~')) text.remove_prefix(1);
  return fmt::format("{}{}", prefix, shortened(text, kLongestAdvice));
}
}  // namespace

void merge_tree(Node& root, const Node& source) { Merger(root, false).merge(root, source, {}); }

Node embed_in_package(Node value, std::string_view package) {
  if (package.empty()) return value;
  const std::vector<std::string> parts = split_key(package);
  if (parts.size() > kMostLevels)
    throw ConfigError(fmt::format("{}: the package '{}' has more than {} levels", to_string(value.position()),
                                  shortened(package, kLongestAdvice), kMostLevels));
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    Node map = Node::map();
    map.set_position_of(value);
    map.set(*part, std::move(value));
    value = std::move(map);
  }
  return value;
}

void check_interpolations(const Node& node) {
  for_each_leaf(node, "", [](const std::string& path, const Node& leaf) {
    if (!leaf.is_interpolation()) return;
    try {
      parse_interpolation(leaf.as_string());
    } catch (const ConfigError& e) {
      throw ConfigError(fmt::format("{}: {}: {}", to_string(leaf.position()), path, e.message()));
    }
  });
}

void TreeUpdater::fail(const Override& override, const std::string& what) const {
  throw ConfigError(located(override, what));
}

void TreeUpdater::apply(const Override& override) {
  if (override.package)
    fail(override, fmt::format("'@' belongs to config groups, but there is no group '{}'", override.key));
  if (override.type == OverrideType::kDelete) return remove(override);
  Node value;
  try {
    value = to_node(override.value);
    check_interpolations(value);
  } catch (const ConfigError& e) {
    fail(override, e.message());
  }
  switch (override.type) {
    case OverrideType::kAdd:
      return add(override, value);
    case OverrideType::kForceAdd:
      return update(override, value, true);
    default:
      return update(override, value, false);
  }
}

std::string TreeUpdater::nearest_hint(const std::vector<std::string>& parts) const {
  const Node* at = &root_;
  std::string path;
  for (const std::string& part : parts) {
    if (!at->is_map()) return fmt::format("; '{}' is {}, no map", path, kind_name(at->kind()));
    const Node* next = at->find(part);
    if (!next) {
      std::vector<std::string> names;
      for (const std::string& key : at->keys())
        if (key != "hydra") names.push_back(path.empty() ? key : path + "." + key);
      return hint(path.empty() ? part : path + "." + part, names);
    }
    at = next;
    path += (path.empty() ? "" : ".") + part;
  }
  return "";
}

void TreeUpdater::remove(const Override& override) {
  std::optional<Resolver::Target> found;
  Resolver resolver(root_);
  try {
    found = resolver.select(override.key);
  } catch (const NotAContainer&) {
  } catch (const ConfigError& e) {
    fail(override, e.message());
  }
  const std::vector<std::string> parts = split_key(override.key);
  // Deviation D13: ~key=null asks for a null, which 1.3.8 cannot delete at all.
  const bool asks_null = override.value_type == ValueType::kElement && override.value.scalar.is_null() &&
                         override.value.shape == Element::Shape::kScalar;
  if (!found || found->node->is_missing() || (found->node->is_null() && !asks_null))
    fail(override, fmt::format("there is nothing to delete at '{}'{}", override.key, nearest_hint(parts)));
  if (override.value_type == ValueType::kElement) {
    const Node expected = to_node(override.value);
    const Node actual = found->raw ? *found->node : resolver.resolved(*found);
    if (!python_equal(expected, actual))
      fail(override,
           fmt::format("the value of '{}' is {} and not {}", override.key, describe(actual), describe(expected)));
  }
  const std::size_t dot = override.key.rfind('.');
  Node* holder = &root_;
  if (dot != std::string::npos) {
    const auto parent = resolver.select(std::string_view(override.key).substr(0, dot));
    holder = const_cast<Node*>(parent->node);  // the tree is ours; select hands out const nodes
  }
  const std::string last = dot == std::string::npos ? override.key : override.key.substr(dot + 1);
  if (!holder->is_map()) fail(override, "items of a list cannot be deleted; a list is replaced as a whole");
  holder->erase(last);
}

void TreeUpdater::add(const Override& override, const Node& value) {
  std::optional<Resolver::Target> found;
  try {
    found = Resolver(root_).select(override.key);
  } catch (const NotAContainer&) {  // a scalar on the way is replaced
  } catch (const ConfigError& e) {
    fail(override, e.message());
  }
  if (found && !value.is_container() && !found->node->is_missing() && !found->node->is_null())
    fail(override,
         fmt::format("'{}' exists already; to change it write {} or {}", override.key,
                     shell_quoted(text_with_prefix(override, "")), shell_quoted(text_with_prefix(override, "++"))));
  if (!found) warn_of_near_key(override);
  update(override, value, true);
}

// +sede=3 beside seed is rather a slip of the pen than a new key.
void TreeUpdater::warn_of_near_key(const Override& override) {
  const std::size_t dot = override.key.rfind('.');
  const Node* holder = &root_;
  if (dot != std::string::npos) {
    const auto parent = Resolver(root_).select(std::string_view(override.key).substr(0, dot));
    if (!parent) return;
    holder = parent->node;
  }
  if (!holder->is_map()) return;
  const std::string near = nearest(override.key.substr(dot == std::string::npos ? 0 : dot + 1), holder->keys());
  if (near.empty()) return;
  const std::string full = dot == std::string::npos ? near : override.key.substr(0, dot + 1) + near;
  warnings_.push_back(located(override, fmt::format("adds a new key; did you mean '{}'?", full)));
}

std::size_t TreeUpdater::list_index(const Override& override, const Node& list, const std::string& part) const {
  const auto digits = parse_python_int(part);
  if (!digits) fail(override, fmt::format("'{}' is no index of a list", part));
  const Node index = Node::integer_digits(*digits);
  if (index.as_int() < 0 || index.as_int() >= static_cast<std::int64_t>(list.size()))
    fail(override, fmt::format("index {} is outside of the list, which holds {} values; a list is replaced as a whole: "
                               "{}=[…]",
                               *digits, list.size(), override.key.substr(0, override.key.rfind('.'))));
  return static_cast<std::size_t>(index.as_int());
}

void TreeUpdater::fail_missing(const Override& override, const std::vector<std::string>& parts) const {
  fail(override, fmt::format("there is no key '{}'{}\nTo add it, write {}", shortened(override.key, kLongestAdvice),
                             nearest_hint(parts), shell_quoted(text_with_prefix(override, "+"))));
}

void TreeUpdater::update(const Override& override, const Node& value, bool may_add) {
  const std::vector<std::string> parts = split_key(override.key);
  Node* at = &root_;
  Parents parents;
  for (std::size_t i = 0;; ++i) {
    Node* next =
        at->is_list() ? &at->items()[list_index(override, *at, parts[i])] : at->find_typed(Kind::kString, parts[i]);
    if (!next && !may_add) fail_missing(override, parts);
    parents.push_back(at);
    if (i + 1 == parts.size()) {
      if (!next) next = &at->set(parts[i], Node());
      return put(override, *next, value, may_add, parents);
    }
    if (!next) next = &at->set(parts[i], Node::map());
    if (!next->is_container()) {  // what stands in the way becomes a map
      Node map = Node::map();
      map.set_position_of(value);
      if (!may_add) fail_missing(override, parts);
      warn_of_new_shape(override, *next, map);
      *next = std::move(map);
    }
    at = next;
  }
}

void TreeUpdater::put(const Override& override, Node& place, const Node& value, bool may_add, const Parents& parents) {
  if (!value.is_container() || !place.is_container()) {
    warn_of_new_shape(override, place, value);
    place = value;
    return;
  }
  if (place.kind() != value.kind())
    fail(override, fmt::format("'{}' is a {} ({}) and cannot take a {}", override.key, kind_name(place.kind()),
                               to_string(place.position()), kind_name(value.kind())));
  if (value.is_list()) {
    place = value;
    return;
  }
  try {
    Merger(root_, !may_add).merge(place, value, parents);
  } catch (const ConfigError& e) {
    fail(override, e.message());
  }
}

void TreeUpdater::warn_of_new_shape(const Override& override, const Node& old, const Node& value) {
  if (old.is_null() || old.is_missing() || old.is_interpolation() || old.is_container() || !value.is_map()) return;
  warnings_.push_back(located(override, fmt::format("turns the {} {} ({}) into a map", kind_name(old.kind()),
                                                    describe(old), to_string(old.position()))));
}

}  // namespace mneme::config
