#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/config/yaml_scanner.h"

namespace mneme::config {

/// A node of a YAML document as written, before tags, aliases and merge keys are worked out. Children are indices.
struct YamlNode {
  enum class Shape { kScalar, kList, kMap, kAlias } shape = Shape::kScalar;
  std::string tag;  ///< "?" plain or untagged, "!" text by its quotes, else the full tag
  std::string text;
  std::vector<std::size_t> children;  ///< of a list; of a map: key, value, key, value, …
  std::size_t target = 0;             ///< of an alias
  bool empty = false;                 ///< a scalar of no characters at all
  YamlMark mark;
};

/// The nodes of the one document in a text, the root first; no nodes for an empty text. Throws ConfigError with
/// name:line:column, also for a second document, more than 200 levels and an alias inside the value that it names.
std::vector<YamlNode> parse_yaml_nodes(std::string_view text, const std::string& name);

}  // namespace mneme::config
