#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/config/node.h"
#include "core/config/override.h"

namespace mneme::config {

/// Merges a map into another as OmegaConf does: maps key by key, lists and scalars replaced, "???" never over a value;
/// an interpolation that leads to a container is replaced by a copy before something is merged into it. New keys are
/// added. Throws ConfigError where a list meets a map.
void merge_tree(Node& root, const Node& source);

/// Puts a value under a dotted package ("train.optim"; "" is the root) of an empty tree.
Node embed_in_package(Node value, std::string_view package);

/// Checks the syntax of every interpolation. Throws ConfigError with the position.
void check_interpolations(const Node& node);

/// Applies overrides of values to a composed tree, which is closed: a plain override needs an existing key, '+' a
/// missing one, '++' takes any. Throws ConfigError naming the override and the nearest key.
class TreeUpdater {
 public:
  /// \param warnings  receives notes, for instance where a scalar becomes a map
  TreeUpdater(Node& root, std::vector<std::string>& warnings) : root_(root), warnings_(warnings) {}

  void apply(const Override& override);

 private:
  void remove(const Override& override);
  void add(const Override& override, const Node& value);
  void update(const Override& override, const Node& value, bool may_add);
  void put(const Override& override, Node& place, const Node& value, bool may_add,
           const std::vector<const Node*>& parents);
  std::size_t list_index(const Override& override, const Node& list, const std::string& part) const;
  void warn_of_new_shape(const Override& override, const Node& old, const Node& value);
  void warn_of_near_key(const Override& override);
  std::string nearest_hint(const std::vector<std::string>& parts) const;
  [[noreturn]] void fail(const Override& override, const std::string& what) const;
  [[noreturn]] void fail_missing(const Override& override, const std::vector<std::string>& parts) const;

  Node& root_;
  std::vector<std::string>& warnings_;
};

}  // namespace mneme::config
