#include "core/config/yaml_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/base/error.h"

namespace mneme::config {

namespace {
using Type = YamlToken::Type;
constexpr std::size_t kMostLevels = 200;
constexpr std::string_view kStandardTags = "tag:yaml.org,2002:";

class Parser {
 public:
  Parser(std::string_view text, const std::string& name) : name_(name), tokens_(scan_yaml(text, name)) {}

  std::vector<YamlNode> run() {
    const bool begins_bare = !is_any({Type::kDirective, Type::kDocumentStart, Type::kStreamEnd});
    if (begins_bare) {
      node(true, false);
    } else if (!begin_document()) {
      return {};
    } else if (is_any({Type::kDirective, Type::kDocumentStart, Type::kDocumentEnd, Type::kStreamEnd})) {
      empty_scalar(peek().mark);
    } else {
      node(true, false);
    }
    const std::size_t end = next_;
    if (is(Type::kDocumentEnd)) ++next_;
    if (begin_document()) fail(tokens_[end].mark, "a second YAML document starts here; a config file holds one");
    return std::move(nodes_);
  }

 private:
  const YamlToken& peek() const { return tokens_[next_]; }
  bool is(Type type) const { return peek().type == type; }
  bool is_any(std::initializer_list<Type> types) const {
    return std::find(types.begin(), types.end(), peek().type) != types.end();
  }
  bool take(Type type) {
    if (!is(type)) return false;
    ++next_;
    return true;
  }
  [[noreturn]] void fail(const YamlMark& mark, const std::string& what) const {
    throw ConfigError(fmt::format("{}:{}:{}: {}", name_, mark.line, mark.column, what));
  }

  // Reads directives and "---"; false at the end of the text.
  bool begin_document() {
    while (take(Type::kDocumentEnd)) {
    }
    if (is(Type::kStreamEnd)) return false;
    handles_.clear();
    for (; is(Type::kDirective); ++next_) directive(peek());
    if (!take(Type::kDocumentStart)) fail(peek().mark, "'---' is expected here");
    return true;
  }

  void directive(const YamlToken& token) {
    if (token.text == "YAML") {
      const bool readable = token.handle.size() > 2 && token.handle.starts_with("1.") &&
                            token.handle.find_first_not_of("0123456789", 2) == std::string::npos;
      if (!readable || has_version_) fail(token.mark, "one directive '%YAML 1.1' is expected");
      has_version_ = true;
    }
    if (token.text != "TAG") return;
    const auto blank = token.handle.find(' ');
    if (!handles_.emplace(token.handle.substr(0, blank), token.handle.substr(blank + 1)).second)
      fail(token.mark, "the handle is given twice");
  }

  std::size_t add(YamlNode node) {
    nodes_.push_back(std::move(node));
    return nodes_.size() - 1;
  }
  std::size_t empty_scalar(const YamlMark& mark) {
    YamlNode node;
    node.tag = "?";
    node.empty = true;
    node.mark = mark;
    return add(std::move(node));
  }

  std::size_t alias() {
    const YamlToken& token = tokens_[next_++];
    const auto found = anchors_.find(token.text);
    if (found == anchors_.end()) fail(token.mark, fmt::format("there is no anchor '{}'", token.text));
    if (std::find(open_.begin(), open_.end(), found->second) != open_.end())
      fail(token.mark, "the alias stands inside the value that it names; a value cannot hold itself");
    YamlNode node;
    node.shape = YamlNode::Shape::kAlias;
    node.target = found->second;
    node.mark = token.mark;
    return add(std::move(node));
  }

  std::string full_tag(const YamlToken& token) const {
    if (token.handle.empty()) return token.text;
    const auto found = handles_.find(token.handle);
    if (found != handles_.end()) return found->second + token.text;
    if (token.handle == "!") return "!" + token.text;
    if (token.handle == "!!") return std::string(kStandardTags) + token.text;
    fail(token.mark, fmt::format("the tag handle '{}' is not defined", token.handle));
  }

  // A node with its anchor and tag. \param block  block lists and maps may stand here
  // \param indentless  a block list may stand here without being indented
  std::size_t node(bool block, bool indentless) {
    if (is(Type::kAlias)) return alias();
    if (open_.size() > kMostLevels) fail(peek().mark, fmt::format("more than {} levels of nesting", kMostLevels));
    YamlNode result;
    result.mark = peek().mark;
    std::string anchor;
    for (int i = 0; i < 2; ++i) {
      if (is(Type::kAnchor) && anchor.empty()) anchor = tokens_[next_++].text;
      if (is(Type::kTag) && result.tag.empty()) result.tag = full_tag(tokens_[next_++]);
    }
    const bool has_properties = !anchor.empty() || !result.tag.empty();
    if (result.tag.empty() || result.tag == "!") result.tag = "?";
    if (is(Type::kScalar)) {
      const YamlToken& token = tokens_[next_++];
      const bool by_quotes = !token.plain && result.tag == "?" && !has_tag_mark(next_ - 1);
      if (by_quotes) result.tag = "!";
      result.text = token.text;
      return finish(std::move(result), anchor);
    }
    if (indentless && is(Type::kEntry)) return list(std::move(result), anchor, Type::kStreamEnd);
    if (is(Type::kFlowListStart)) return flow_list(std::move(result), anchor);
    if (is(Type::kFlowMapStart)) return flow_map(std::move(result), anchor);
    if (block && is(Type::kBlockListStart)) return list(std::move(result), anchor, Type::kBlockEnd);
    if (block && is(Type::kBlockMapStart)) return block_map(std::move(result), anchor);
    if (!has_properties) fail(peek().mark, "a value is expected here");
    result.empty = true;
    return finish(std::move(result), anchor);
  }

  // Whether a lone '!' stands before the token: it makes a quoted text be read as if it were plain.
  bool has_tag_mark(std::size_t index) const {
    for (std::size_t i = index; i-- > 0 && (tokens_[i].type == Type::kTag || tokens_[i].type == Type::kAnchor);)
      if (tokens_[i].type == Type::kTag) return true;
    return false;
  }

  std::size_t finish(YamlNode node, const std::string& anchor) {
    const std::size_t index = add(std::move(node));
    if (!anchor.empty() && !anchors_.emplace(anchor, index).second)
      fail(nodes_[index].mark, fmt::format("the anchor '{}' is given twice", anchor));
    return index;
  }

  std::size_t open(YamlNode node, YamlNode::Shape shape, const std::string& anchor) {
    node.shape = shape;
    const std::size_t index = finish(std::move(node), anchor);
    open_.push_back(index);
    return index;
  }

  // A block list; `close` is kStreamEnd for one without indentation, which ends where no '-' follows.
  std::size_t list(YamlNode node, const std::string& anchor, Type close) {
    const std::size_t index = open(std::move(node), YamlNode::Shape::kList, anchor);
    const bool indentless = close == Type::kStreamEnd;
    if (!indentless) ++next_;
    while (is(Type::kEntry)) {
      const YamlMark mark = tokens_[next_++].mark;
      const bool empty = is_any({Type::kEntry, Type::kBlockEnd}) || (indentless && is_any({Type::kKey, Type::kValue}));
      const std::size_t child = empty ? empty_scalar(mark) : this->node(true, false);
      nodes_[index].children.push_back(child);
    }
    if (!indentless && !take(Type::kBlockEnd))
      fail(peek().mark, "this does not fit into the list; check the indentation");
    open_.pop_back();
    return index;
  }

  std::size_t block_map(YamlNode node, const std::string& anchor) {
    const std::size_t index = open(std::move(node), YamlNode::Shape::kMap, anchor);
    ++next_;
    for (;;) {
      std::size_t key = 0, value = 0;
      if (is(Type::kKey)) {
        const YamlMark mark = tokens_[next_++].mark;
        key = is_any({Type::kKey, Type::kValue, Type::kBlockEnd}) ? empty_scalar(mark) : this->node(true, true);
      } else if (take(Type::kBlockEnd)) {
        break;
      } else {
        fail(peek().mark, "this does not fit into the map; check the indentation");
      }
      if (is(Type::kValue)) {
        const YamlMark mark = tokens_[next_++].mark;
        value = is_any({Type::kKey, Type::kValue, Type::kBlockEnd}) ? empty_scalar(mark) : this->node(true, true);
      } else {
        value = empty_scalar(peek().mark);
      }
      nodes_[index].children.insert(nodes_[index].children.end(), {key, value});
    }
    open_.pop_back();
    return index;
  }

  std::size_t flow_list(YamlNode node, const std::string& anchor) {
    const std::size_t index = open(std::move(node), YamlNode::Shape::kList, anchor);
    ++next_;
    for (bool first = true; !is(Type::kFlowListEnd); first = false) {
      if (!first && !take(Type::kFlowEntry)) fail(peek().mark, "',' or ']' is expected in the list");
      if (is(Type::kFlowListEnd)) break;
      const std::size_t child = is(Type::kKey) ? single_pair() : this->node(false, false);
      nodes_[index].children.push_back(child);
    }
    ++next_;
    open_.pop_back();
    return index;
  }

  // [a: b] is a list with the map {a: b}.
  std::size_t single_pair() {
    YamlNode map;
    map.tag = "?";
    map.mark = peek().mark;
    const std::size_t index = open(std::move(map), YamlNode::Shape::kMap, "");
    const YamlMark mark = tokens_[next_++].mark;
    const bool empty = is_any({Type::kValue, Type::kFlowEntry, Type::kFlowListEnd});
    const std::size_t key = empty ? empty_scalar(mark) : node(false, false);
    const std::size_t value = flow_value(Type::kFlowListEnd);
    nodes_[index].children = {key, value};
    open_.pop_back();
    return index;
  }

  std::size_t flow_value(Type close) {
    if (!is(Type::kValue)) return empty_scalar(peek().mark);
    const YamlMark mark = tokens_[next_++].mark;
    return is(Type::kFlowEntry) || is(close) ? empty_scalar(mark) : node(false, false);
  }

  std::size_t flow_map(YamlNode node, const std::string& anchor) {
    const std::size_t index = open(std::move(node), YamlNode::Shape::kMap, anchor);
    ++next_;
    for (bool first = true; !is(Type::kFlowMapEnd); first = false) {
      if (!first && !take(Type::kFlowEntry)) fail(peek().mark, "',' or '}' is expected in the map");
      if (is(Type::kFlowMapEnd)) break;
      std::size_t key = 0, value = 0;
      if (is(Type::kKey)) {
        const YamlMark mark = tokens_[next_++].mark;
        key =
            is_any({Type::kValue, Type::kFlowEntry, Type::kFlowMapEnd}) ? empty_scalar(mark) : this->node(false, false);
        value = flow_value(Type::kFlowMapEnd);
      } else {
        key = this->node(false, false);
        value = empty_scalar(peek().mark);
      }
      nodes_[index].children.insert(nodes_[index].children.end(), {key, value});
    }
    ++next_;
    open_.pop_back();
    return index;
  }

  const std::string& name_;
  std::vector<YamlToken> tokens_;
  std::size_t next_ = 0;
  std::vector<YamlNode> nodes_;
  std::vector<std::size_t> open_;  // lists and maps being read
  std::map<std::string, std::size_t> anchors_;
  std::map<std::string, std::string> handles_;
  bool has_version_ = false;
};
}  // namespace

std::vector<YamlNode> parse_yaml_nodes(std::string_view text, const std::string& name) {
  return Parser(text, name).run();
}

}  // namespace mneme::config
