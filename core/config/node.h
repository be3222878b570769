#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace mneme::config {

enum class Kind { kNull, kBool, kInt, kFloat, kString, kList, kMap };

/// "null", "bool", "int", "float", "string", "list" or "map": the words of error messages.
std::string_view kind_name(Kind kind);

/// Where a value was written. Overrides have the file "<command line>", the number of the override (from 1) as line and
/// the byte (from 1) as column.
struct Position {
  std::string file;
  int line = 0;
  int column = 0;
};

/// "file:line:column", or only the file where no line is known, or "" for a value that no file holds.
std::string to_string(const Position& position);

/// One value of a configuration: a scalar, a list or an ordered map, with the position where it was written.
/// Values are copied with the node. Whole numbers beyond 64 bits keep their decimal digits.
class Node {
 public:
  using Items = std::vector<Node>;
  using Entries = std::vector<std::pair<std::string, Node>>;

  Node();  ///< null
  ~Node();
  Node(const Node& other);
  Node(Node&& other) noexcept;
  Node& operator=(const Node& other);
  Node& operator=(Node&& other) noexcept;
  static Node null() { return {}; }
  static Node boolean(bool value);
  static Node integer(std::int64_t value);
  /// \param digits decimal digits with an optional '-', for instance of a number beyond 64 bits
  static Node integer_digits(std::string_view digits);
  static Node real(double value);
  static Node string(std::string value);
  static Node list(Items items = {});
  static Node map();

  Kind kind() const { return static_cast<Kind>(value_.index()); }
  bool is_null() const { return kind() == Kind::kNull; }
  bool is_bool() const { return kind() == Kind::kBool; }
  bool is_int() const { return kind() == Kind::kInt; }
  bool is_float() const { return kind() == Kind::kFloat; }
  bool is_number() const { return is_int() || is_float(); }
  bool is_string() const { return kind() == Kind::kString; }
  bool is_list() const { return kind() == Kind::kList; }
  bool is_map() const { return kind() == Kind::kMap; }
  bool is_container() const { return is_list() || is_map(); }
  /// The text "???": a value that the user must give.
  bool is_missing() const;
  /// A string that holds "${".
  bool is_interpolation() const;

  Position position() const;
  void set_position(const Position& position);
  void set_position_of(const Node& other);
  /// Gives this node and all below it the position of the other node.
  void set_position_deep(const Node& other);

  // The value as a type. Each throws ConfigError with the position, what was found and what was expected.
  bool as_bool() const;
  std::int64_t as_int() const;
  double as_float() const;  ///< a whole number is taken too
  const std::string& as_string() const;
  /// Decimal digits of a whole number of any size.
  std::string int_digits() const;

  // Lists. Throw ConfigError if the node is no list.
  const Items& items() const;
  Items& items();
  void push_back(Node value) { items().push_back(std::move(value)); }

  // Maps. Throw ConfigError if the node is no map.
  const Entries& entries() const;
  std::size_t size() const;  ///< of a list or map
  void reserve(std::size_t size);
  /// The value of a key, or nullptr; text keys first, then other keys (such as 1 or true) by their text.
  const Node* find(std::string_view key) const;
  Node* find(std::string_view key);
  /// The value of a key. Throws ConfigError naming the nearest key.
  const Node& at(std::string_view key) const;
  bool has(std::string_view key) const { return find(key) != nullptr; }
  std::vector<std::string> keys() const;
  /// Adds or replaces a text key; the place of an existing key is kept.
  Node& set(std::string_view key, Node value) { return set_typed(Kind::kString, key, std::move(value)); }
  bool erase(std::string_view key) { return erase_typed(Kind::kString, key); }

  // Typed keys. A key is known by its kind and its text ("true", "1", "1.5"); numbers and booleans that are equal in
  // Python (1, 1.0, true) are the same key.
  Kind key_kind(std::size_t index) const;
  const Node* find_typed(Kind kind, std::string_view key) const;
  Node* find_typed(Kind kind, std::string_view key);
  Node& set_typed(Kind kind, std::string_view key, Node value);
  bool erase_typed(Kind kind, std::string_view key);
  /// Adds a key that is known to be new, without looking for it.
  Node& append_typed(Kind kind, std::string_view key, Node value);

  /// Direct access for code that changes values in place and keeps the keys.
  Entries& mutable_entries();

  /// Same kinds, keys (in the same order) and values; positions do not count. NaN equals NaN.
  friend bool operator==(const Node& a, const Node& b);

 private:
  struct Map {
    Entries entries;
    std::vector<Kind> key_kinds;  ///< empty when all keys are text
  };
  struct Int {
    std::int64_t value = 0;
    std::string digits;  ///< only beyond 64 bits
  };

  std::size_t index_of(Kind kind, std::string_view key) const;
  [[noreturn]] void fail_kind(std::string_view expected) const;

  std::variant<std::monostate, bool, Int, double, std::string, Items, Map> value_;
  std::shared_ptr<const std::string> file_;  // shared by all nodes of a file
  int line_ = 0;
  int column_ = 0;
};

/// The text of a scalar that is used as a key: "true", "1", "1.5", "null" or the string itself.
std::string key_text(const Node& scalar);

/// A value in one line for error messages: 'text', 3, [a, b], {…}; long ones are cut.
std::string describe(const Node& node);

/// Calls f(path, node) for every node that is neither list nor map; path is dotted ("a.b.0").
template <class F>
void for_each_leaf(const Node& node, const std::string& path, F&& f) {
  const auto below = [&](const std::string& key) { return path.empty() ? key : path + "." + key; };
  if (node.is_map())
    for (const auto& [key, value] : node.entries()) for_each_leaf(value, below(key), f);
  else if (node.is_list())
    for (std::size_t i = 0; i < node.items().size(); ++i) for_each_leaf(node.items()[i], below(std::to_string(i)), f);
  else
    f(path, node);
}

}  // namespace mneme::config
