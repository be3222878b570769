#include "core/config/node.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/config/python_text.h"
#include "core/config/utf8.h"

namespace mneme::config {

namespace {
constexpr std::size_t kAbsent = static_cast<std::size_t>(-1);
constexpr std::size_t kLongestDescription = 80;

// Number that a typed key stands for, as text that is equal exactly when Python holds the keys equal.
std::string key_identity(Kind kind, std::string_view text) {
  if (kind == Kind::kBool) return text == "true" ? "1" : "0";
  if (kind == Kind::kFloat) {
    const double value = parse_python_float(text).value_or(0);
    if (std::isfinite(value) && value == std::floor(value) && std::abs(value) < 1e15)
      return fmt::format("{}", static_cast<std::int64_t>(value));
  }
  if (kind == Kind::kNull) return "null";
  return std::string(text);
}
}  // namespace

std::string_view kind_name(Kind kind) {
  constexpr std::string_view names[] = {"null", "bool", "int", "float", "string", "list", "map"};
  return names[static_cast<std::size_t>(kind)];
}

std::string to_string(const Position& position) {
  if (position.line == 0) return position.file;
  return fmt::format("{}:{}:{}", position.file, position.line, position.column);
}

// Out of line: inlined variant copies bloat every caller (and draw false alarms from GCC 12).
Node::Node() = default;
Node::~Node() = default;
Node::Node(const Node& other) = default;
Node::Node(Node&& other) noexcept = default;
Node& Node::operator=(const Node& other) = default;
Node& Node::operator=(Node&& other) noexcept = default;

Node Node::boolean(bool value) {
  Node node;
  node.value_ = value;
  return node;
}

Node Node::integer(std::int64_t value) {
  Node node;
  node.value_ = Int{value, {}};
  return node;
}

Node Node::integer_digits(std::string_view digits) {
  Node node;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  node.value_ =
      error == std::errc() ? Int{value, {}} : Int{digits[0] == '-' ? INT64_MIN : INT64_MAX, std::string(digits)};
  return node;
}

Node Node::real(double value) {
  Node node;
  node.value_ = value;
  return node;
}

Node Node::string(std::string value) {
  Node node;
  node.value_ = std::move(value);
  return node;
}

Node Node::list(Items items) {
  Node node;
  node.value_ = std::move(items);
  return node;
}

Node Node::map() {
  Node node;
  node.value_ = Map{};
  return node;
}

bool Node::is_missing() const { return is_string() && std::get<std::string>(value_) == "???"; }

bool Node::is_interpolation() const {
  return is_string() && std::get<std::string>(value_).find("${") != std::string::npos;
}

Position Node::position() const { return {file_ ? *file_ : std::string(), line_, column_}; }

void Node::set_position(const Position& position) {
  if (!file_ || *file_ != position.file) file_ = std::make_shared<const std::string>(position.file);
  line_ = position.line;
  column_ = position.column;
}

void Node::set_position_of(const Node& other) {
  file_ = other.file_;
  line_ = other.line_;
  column_ = other.column_;
}

void Node::set_position_deep(const Node& other) {
  set_position_of(other);
  if (is_map())
    for (auto& entry : mutable_entries()) entry.second.set_position_deep(other);
  else if (is_list())
    for (auto& item : items()) item.set_position_deep(other);
}

void Node::fail_kind(std::string_view expected) const {
  const std::string where = to_string(position());
  throw ConfigError(fmt::format("{}{}expected {}, found {} {}", where, where.empty() ? "" : ": ", expected,
                                kind_name(kind()), describe(*this)));
}

bool Node::as_bool() const {
  if (!is_bool()) fail_kind("true or false");
  return std::get<bool>(value_);
}

std::int64_t Node::as_int() const {
  if (!is_int()) fail_kind("a whole number");
  const Int& number = std::get<Int>(value_);
  if (!number.digits.empty()) fail_kind("a whole number of 64 bits");
  return number.value;
}

double Node::as_float() const {
  if (is_int()) {
    const Int& number = std::get<Int>(value_);
    return number.digits.empty() ? static_cast<double>(number.value) : parse_python_float(number.digits).value_or(0);
  }
  if (!is_float()) fail_kind("a number");
  return std::get<double>(value_);
}

const std::string& Node::as_string() const {
  if (!is_string()) fail_kind("a string");
  return std::get<std::string>(value_);
}

std::string Node::int_digits() const {
  if (!is_int()) fail_kind("a whole number");
  const Int& number = std::get<Int>(value_);
  return number.digits.empty() ? std::to_string(number.value) : number.digits;
}

const Node::Items& Node::items() const {
  if (!is_list()) fail_kind("a list");
  return std::get<Items>(value_);
}

Node::Items& Node::items() {
  if (!is_list()) fail_kind("a list");
  return std::get<Items>(value_);
}

const Node::Entries& Node::entries() const {
  if (!is_map()) fail_kind("a map");
  return std::get<Map>(value_).entries;
}

Node::Entries& Node::mutable_entries() {
  if (!is_map()) fail_kind("a map");
  return std::get<Map>(value_).entries;
}

std::size_t Node::size() const { return is_list() ? items().size() : entries().size(); }

void Node::reserve(std::size_t size) {
  if (is_list())
    items().reserve(size);
  else
    mutable_entries().reserve(size);
}

Kind Node::key_kind(std::size_t index) const {
  const Map& map = std::get<Map>(value_);
  return map.key_kinds.empty() ? Kind::kString : map.key_kinds[index];
}

std::size_t Node::index_of(Kind kind, std::string_view key) const {
  if (!is_map()) fail_kind("a map");
  const Map& map = std::get<Map>(value_);
  if (kind == Kind::kString) {
    for (std::size_t i = 0; i < map.entries.size(); ++i)
      if (map.entries[i].first == key && key_kind(i) == Kind::kString) return i;
    return kAbsent;
  }
  if (map.key_kinds.empty()) return kAbsent;
  const std::string identity = key_identity(kind, key);
  for (std::size_t i = 0; i < map.entries.size(); ++i)
    if (map.key_kinds[i] != Kind::kString && key_identity(map.key_kinds[i], map.entries[i].first) == identity) return i;
  return kAbsent;
}

const Node* Node::find_typed(Kind kind, std::string_view key) const {
  const std::size_t index = index_of(kind, key);
  return index == kAbsent ? nullptr : &std::get<Map>(value_).entries[index].second;
}

Node* Node::find_typed(Kind kind, std::string_view key) {
  return const_cast<Node*>(std::as_const(*this).find_typed(kind, key));
}

const Node* Node::find(std::string_view key) const {
  if (const Node* node = find_typed(Kind::kString, key)) return node;
  for (const auto& [text, value] : entries())
    if (text == key) return &value;
  return nullptr;
}

Node* Node::find(std::string_view key) { return const_cast<Node*>(std::as_const(*this).find(key)); }

const Node& Node::at(std::string_view key) const {
  if (const Node* node = find(key)) return *node;
  const std::string where = to_string(position());
  throw ConfigError(fmt::format("{}{}key '{}' is missing{}", where, where.empty() ? "" : ": ", key, hint(key, keys())));
}

std::vector<std::string> Node::keys() const {
  std::vector<std::string> names;
  for (const auto& entry : entries()) names.push_back(entry.first);
  return names;
}

Node& Node::set_typed(Kind kind, std::string_view key, Node value) {
  const std::size_t index = index_of(kind, key);
  Map& map = std::get<Map>(value_);
  if (index != kAbsent) return map.entries[index].second = std::move(value);
  return append_typed(kind, key, std::move(value));
}

Node& Node::append_typed(Kind kind, std::string_view key, Node value) {
  Map& map = std::get<Map>(value_);
  if (kind != Kind::kString && map.key_kinds.empty()) map.key_kinds.resize(map.entries.size(), Kind::kString);
  if (kind != Kind::kString || !map.key_kinds.empty()) map.key_kinds.push_back(kind);
  return map.entries.emplace_back(std::string(key), std::move(value)).second;
}

bool Node::erase_typed(Kind kind, std::string_view key) {
  const std::size_t index = index_of(kind, key);
  if (index == kAbsent) return false;
  Map& map = std::get<Map>(value_);
  map.entries.erase(map.entries.begin() + static_cast<std::ptrdiff_t>(index));
  if (!map.key_kinds.empty()) map.key_kinds.erase(map.key_kinds.begin() + static_cast<std::ptrdiff_t>(index));
  return true;
}

bool operator==(const Node& a, const Node& b) {
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kNull:
      return true;
    case Kind::kBool:
      return a.as_bool() == b.as_bool();
    case Kind::kInt:
      return a.int_digits() == b.int_digits();
    case Kind::kFloat:
      return a.as_float() == b.as_float() || (std::isnan(a.as_float()) && std::isnan(b.as_float()));
    case Kind::kString:
      return a.as_string() == b.as_string();
    case Kind::kList:
      return a.items() == b.items();
    case Kind::kMap:
      break;
  }
  if (a.entries() != b.entries()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a.key_kind(i) != b.key_kind(i)) return false;
  return true;
}

std::string key_text(const Node& scalar) {
  if (scalar.is_null()) return "null";
  if (scalar.is_bool()) return scalar.as_bool() ? "true" : "false";
  return python_text(scalar);
}

std::string describe(const Node& node) {
  return shortened(node.is_string() ? fmt::format("'{}'", node.as_string()) : python_text(node), kLongestDescription);
}

}  // namespace mneme::config
