#include <fmt/format.h>

#include <unordered_set>

#include "core/base/error.h"
#include "core/config/utf8.h"
#include "core/config/yaml.h"
#include "core/config/yaml_parser.h"
#include "core/config/yaml_scalar.h"

namespace mneme::config {

namespace {
constexpr std::size_t kMostNodes = 2'000'000;  // with aliases expanded
constexpr std::string_view kTagPrefix = "tag:yaml.org,2002:";

using Raw = YamlNode;

// Turns raw nodes into values.
class Builder {
 public:
  Builder(const std::vector<Raw>& nodes, const std::string& file, std::vector<std::string>* warnings)
      : nodes_(nodes), file_(file), warnings_(warnings) {}

  Node build(std::size_t index) {
    if (++built_ > kMostNodes)
      throw ConfigError(fmt::format("{}: more than {} values once aliases are expanded", file_, kMostNodes));
    const Raw& raw = target(index);
    Node node = raw.shape == Raw::Shape::kScalar ? scalar(raw) : raw.shape == Raw::Shape::kList ? list(raw) : map(raw);
    node.set_position({file_, raw.mark.line, raw.mark.column});
    return node;
  }

 private:
  using Pair = std::pair<std::size_t, std::size_t>;

  const Raw& target(std::size_t index) const {
    return nodes_[nodes_[index].shape == Raw::Shape::kAlias ? nodes_[index].target : index];
  }
  std::string where(const Raw& raw) const { return fmt::format("{}:{}:{}: ", file_, raw.mark.line, raw.mark.column); }
  [[noreturn]] void fail(const Raw& raw, const std::string& what) const { throw ConfigError(where(raw) + what); }

  ScalarType type_of(const Raw& raw) const {
    if (raw.tag == "?") return loaded_type(raw.text);
    if (raw.tag == "!") return ScalarType::kString;
    if (!raw.tag.starts_with(kTagPrefix)) fail(raw, fmt::format("the tag '{}' is not supported", raw.tag));
    const std::string_view name = std::string_view(raw.tag).substr(kTagPrefix.size());
    if (name == "str") return ScalarType::kString;
    if (name == "int") return ScalarType::kInt;
    if (name == "float") return ScalarType::kFloat;
    if (name == "bool") return ScalarType::kBool;
    if (name == "null") return ScalarType::kNull;
    fail(raw, fmt::format("the tag '!!{}' is not supported for a scalar", name));
  }

  Node scalar(const Raw& raw) const {
    if (warnings_ && raw.tag == "?" && is_surprising_int(raw.text))
      warnings_->push_back(fmt::format("{}YAML 1.1 reads {} as the number {}; quote it if it is meant as text",
                                       where(raw), raw.text,
                                       scalar_value(ScalarType::kInt, raw.text, "").int_digits()));
    return scalar_value(type_of(raw), raw.text, where(raw));
  }

  void check_tag(const Raw& raw, std::string_view name) const {
    if (raw.tag != "?" && raw.tag != std::string(kTagPrefix) + std::string(name))
      fail(raw, fmt::format("the tag '{}' is not supported here", raw.tag));
  }

  Node list(const Raw& raw) {
    check_tag(raw, "seq");
    Node node = Node::list();
    for (const std::size_t child : raw.children) node.push_back(build(child));
    return node;
  }

  Node map(const Raw& raw) {
    check_tag(raw, "map");
    Node node = Node::map();
    const std::vector<Pair> pairs = flattened_pairs(raw);
    const bool may_repeat = pairs.size() * 2 != raw.children.size() || has_typed_key(pairs);
    for (const auto& [key, value] : pairs) {
      const Raw& name = target(key);
      if (name.shape != Raw::Shape::kScalar) fail(name, "a list or map cannot be a key");
      const ScalarType type = type_of(name) == ScalarType::kDefaultValue ? ScalarType::kString : type_of(name);
      const Node key_node = scalar_value(type, name.text, where(name));
      if (key_node.is_null()) fail(name, "null cannot be a key; quote it if it is meant as text");
      Node item = build(value);
      // A scalar's place is where its value stands; an empty value stands at its key.
      if (nodes_[value].empty) item.set_position({file_, name.mark.line, name.mark.column});
      if (may_repeat)
        node.set_typed(key_node.kind(), key_text(key_node), std::move(item));
      else
        node.append_typed(key_node.kind(), key_text(key_node), std::move(item));
    }
    return node;
  }

  bool has_typed_key(const std::vector<Pair>& pairs) const {
    for (const Pair& pair : pairs)
      if (target(pair.first).shape == Raw::Shape::kScalar && type_of(target(pair.first)) != ScalarType::kString)
        return true;
    return false;
  }

  // The key-value pairs with merge keys (<<) worked out: merged pairs first, so that own ones override them.
  std::vector<Pair> flattened_pairs(const Raw& raw) {
    std::vector<Pair> own, merged;
    std::unordered_set<std::string_view> seen;
    for (std::size_t i = 0; i + 1 < raw.children.size(); i += 2) {
      const Raw& key = target(raw.children[i]);
      const bool scalar = key.shape == Raw::Shape::kScalar;
      const ScalarType type = scalar ? type_of(key) : ScalarType::kString;
      if (scalar && type == ScalarType::kString && !seen.insert(key.text).second)
        fail(key, fmt::format("the key '{}' is given twice", key.text));
      if (type == ScalarType::kMerge)
        merge_into(merged, target(raw.children[i + 1]));
      else
        own.emplace_back(raw.children[i], raw.children[i + 1]);
    }
    merged.insert(merged.end(), own.begin(), own.end());
    return merged;
  }

  void merge_into(std::vector<Pair>& merged, const Raw& value) {
    if (value.shape == Raw::Shape::kMap) {
      const auto pairs = flattened_pairs(value);
      merged.insert(merged.end(), pairs.begin(), pairs.end());
      return;
    }
    if (value.shape != Raw::Shape::kList) fail(value, "'<<' takes a map or a list of maps");
    for (auto child = value.children.rbegin(); child != value.children.rend(); ++child) {
      if (target(*child).shape != Raw::Shape::kMap) fail(target(*child), "'<<' takes a map or a list of maps");
      merge_into(merged, target(*child));
    }
  }

  const std::vector<Raw>& nodes_;
  const std::string& file_;
  std::vector<std::string>* warnings_;
  std::size_t built_ = 0;
};

// Bytes and characters that PyYAML's reader refuses.
void check_characters(std::string_view text, const std::string& file) {
  int line = 1, column = 1;
  for (std::size_t i = 0; i < text.size();) {
    const char32_t c = next_code_point(text, i);
    const bool printable = c == '\t' || c == '\n' || c == '\r' || (c >= 0x20 && c <= 0x7e) || c == 0x85 ||
                           (c >= 0xa0 && c <= 0xfffd) || (c >= 0x10000 && c <= 0x10ffff);
    if (c == kInvalidCodePoint)
      throw ConfigError(fmt::format("{}:{}:{}: the text is no valid UTF-8", file, line, column));
    if (!printable)
      throw ConfigError(fmt::format("{}:{}:{}: the character U+{:04X} is not allowed in YAML", file, line, column,
                                    static_cast<unsigned>(c)));
    if (c == '\n')
      ++line, column = 1;
    else
      ++column;
  }
}
}  // namespace

Node parse_yaml(std::string_view text, const std::string& file_name, std::vector<std::string>* warnings) {
  check_characters(text, file_name);
  const std::vector<YamlNode> nodes = parse_yaml_nodes(text, file_name);
  Node node;
  if (nodes.empty())
    node.set_position({file_name, 1, 1});
  else
    node = Builder(nodes, file_name, warnings).build(0);
  return node;
}

}  // namespace mneme::config
