#include "core/config/json.h"

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/config/python_text.h"
#include "core/config/utf8.h"

namespace mneme::config {

namespace {
constexpr std::size_t kMostLevels = 500;

std::string json_string(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

class JsonWriter {
 public:
  explicit JsonWriter(int indent) : indent_(indent) {}

  std::string text;

  void value(const Node& node, int level) {
    switch (node.kind()) {
      case Kind::kNull:
        text += "null";
        return;
      case Kind::kBool:
        text += node.as_bool() ? "true" : "false";
        return;
      case Kind::kInt:
        text += node.int_digits();
        return;
      case Kind::kFloat:
        return real(node.as_float());
      case Kind::kString:
        text += json_string(node.as_string());
        return;
      case Kind::kList:
        sequence(node.size(), "[", "]", level, [&](std::size_t i) { value(node.items()[i], level + 1); });
        return;
      case Kind::kMap:
        return map(node, level);
    }
  }

  template <class F>
  void sequence(std::size_t n, std::string_view open, std::string_view close, int level, F&& item) {
    text += open;
    for (std::size_t i = 0; i < n; ++i) {
      if (i > 0) text += indent_ < 0 ? ", " : ",";
      line(level + 1);
      item(i);
    }
    if (n > 0) line(level);
    text += close;
  }

 private:
  void line(int level) {
    if (indent_ >= 0) text += "\n" + std::string(static_cast<std::size_t>(indent_ * level), ' ');
  }

  void real(double number) {
    const std::string digits = python_float_text(number);
    text += std::isfinite(number) ? digits : fmt::format("{{\"$float\": \"{}\"}}", digits);
  }

  static bool is_plain(const Node& map) {
    for (std::size_t i = 0; i < map.size(); ++i)
      if (map.key_kind(i) != Kind::kString || map.entries()[i].first.starts_with('$')) return false;
    return true;
  }

  void map(const Node& node, int level) {
    const auto& entries = node.entries();
    if (is_plain(node))
      return sequence(node.size(), "{", "}", level, [&](std::size_t i) {
        text += json_string(entries[i].first) + ": ";
        value(entries[i].second, level + 1);
      });
    text += "{\"$dict\": ";
    sequence(node.size(), "[", "]", level, [&](std::size_t i) {
      const Kind kind = node.key_kind(i);
      text += "[" + (kind == Kind::kString ? json_string(entries[i].first) : entries[i].first) + ", ";
      value(entries[i].second, level + 1);
      text += "]";
    });
    text += "}";
  }

  int indent_;
};

// Positions of all nodes in the order of a walk, file names as numbers: {"files": […], "at": [file, line, column, …]}
void collect_positions(const Node& node, std::map<std::string, std::size_t>& files, std::string& at) {
  const Position position = node.position();
  const std::size_t file = files.emplace(position.file, files.size()).first->second;
  at += fmt::format("{}{}, {}, {}", at.empty() ? "" : ", ", file, position.line, position.column);
  if (node.is_map())
    for (const auto& entry : node.entries()) collect_positions(entry.second, files, at);
  else if (node.is_list())
    for (const Node& item : node.items()) collect_positions(item, files, at);
}

// Builds nodes from nlohmann's events, which keep the order of keys and the digits of numbers.
class Handler final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Handler(std::string name) : name_(std::move(name)) {}

  Node root;

  bool null() override { return add(Node::null()); }
  bool boolean(bool value) override { return add(Node::boolean(value)); }
  bool number_integer(number_integer_t value) override { return add(Node::integer(value)); }
  bool number_unsigned(number_unsigned_t value) override { return add(Node::integer_digits(std::to_string(value))); }
  bool number_float(number_float_t value, const string_t& digits) override {
    const bool whole = digits.find_first_of(".eE") == digits.npos;
    return add(whole ? Node::integer_digits(digits) : Node::real(value));
  }
  bool string(string_t& value) override { return add(Node::string(std::move(value))); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Node::map()); }
  bool key(string_t& value) override {
    keys_.back() = std::move(value);
    return true;
  }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(Node::list()); }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t byte, const std::string&, const nlohmann::detail::exception& e) override {
    throw ConfigError(fmt::format("{}: byte {}: no valid JSON: {}", name_, byte, e.what()));
  }

 private:
  bool add(Node node) {
    if (open_.empty())
      root = std::move(node);
    else if (open_.back().is_list())
      open_.back().push_back(std::move(node));
    else
      open_.back().set(keys_.back(), std::move(node));
    return true;
  }
  bool open(Node node) {
    if (open_.size() >= kMostLevels)
      throw ConfigError(fmt::format("{}: more than {} levels of nesting", name_, kMostLevels));
    open_.push_back(std::move(node));
    keys_.emplace_back();
    return true;
  }
  bool close() {
    Node node = decoded(std::move(open_.back()));
    open_.pop_back();
    keys_.pop_back();
    return add(std::move(node));
  }

  Node decoded(Node node) const {
    if (!node.is_map() || node.size() != 1) return node;
    const auto& [key, value] = node.entries()[0];
    if (key == "$float" && value.is_string()) {
      if (const auto number = parse_python_float(value.as_string())) return Node::real(*number);
    }
    if (key != "$dict" || !value.is_list()) return node;
    Node map = Node::map();
    for (const Node& pair : value.items()) {
      if (!pair.is_list() || pair.size() != 2 || pair.items()[0].is_container())
        throw ConfigError(fmt::format("{}: \"$dict\" takes a list of [key, value]", name_));
      const Node& name = pair.items()[0];
      map.set_typed(name.kind(), key_text(name), pair.items()[1]);
    }
    return map;
  }

  std::string name_;
  std::vector<Node> open_;
  std::vector<std::string> keys_;
};

void restore_positions(Node& node, const Node& files, const Node::Items& at, std::size_t& next) {
  if (next + 3 > at.size()) throw ConfigError("the positions in the JSON text do not fit its value");
  const auto file = static_cast<std::size_t>(at[next].as_int());
  if (file >= files.size()) throw ConfigError("the positions in the JSON text name a file that is not listed");
  node.set_position({files.items()[file].as_string(), static_cast<int>(at[next + 1].as_int()),
                     static_cast<int>(at[next + 2].as_int())});
  next += 3;
  if (node.is_map())
    for (auto& entry : node.mutable_entries()) restore_positions(entry.second, files, at, next);
  else if (node.is_list())
    for (Node& item : node.items()) restore_positions(item, files, at, next);
}
}  // namespace

std::string dump_json(const Node& node, const JsonOptions& options) {
  JsonWriter writer(options.indent);
  writer.value(node, 0);
  if (!options.positions) return std::move(writer.text);
  std::map<std::string, std::size_t> files;
  std::string at;
  collect_positions(node, files, at);
  std::vector<std::string> names(files.size());
  for (const auto& [name, number] : files) names[number] = json_string(name);
  return fmt::format("{{\"$value\": {}, \"$positions\": {{\"files\": [{}], \"at\": [{}]}}}}", writer.text,
                     fmt::join(names, ", "), at);
}

Node parse_json(std::string_view text, const std::string& name) {
  if (const std::size_t bad = find_invalid_utf8(text); bad != std::string_view::npos)
    throw ConfigError(fmt::format("{}: byte {}: no valid UTF-8", name, bad + 1));
  Handler handler(name);
  nlohmann::json::sax_parse(text.begin(), text.end(), &handler);
  Node& root = handler.root;
  if (root.is_map() && root.size() == 2 && root.has("$value") && root.has("$positions") &&
      root.at("$positions").is_map()) {
    Node value = root.at("$value");
    std::size_t next = 0;
    restore_positions(value, root.at("$positions").at("files"), root.at("$positions").at("at").items(), next);
    return value;
  }
  Node value = std::move(root);
  if (value.position().file.empty()) {
    Node origin;
    origin.set_position({name, 0, 0});
    value.set_position_deep(origin);
  }
  return value;
}

}  // namespace mneme::config
