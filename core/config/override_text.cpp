#include <fmt/format.h>

#include "core/base/error.h"
#include "core/config/big_number.h"
#include "core/config/override.h"
#include "core/config/python_text.h"

namespace mneme::config {

namespace {
constexpr std::string_view kSpecial = "\\()[]{}:=, \t";

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (kSpecial.find(c) != kSpecial.npos) result += '\\';
    result += c;
  }
  return result;
}

// A backslash is doubled only where it stands before the quote or at the end: elsewhere the grammar keeps it as it is.
std::string quoted(std::string_view text, char quote) {
  std::string result(1, quote);
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] != '\\') {
      if (text[i] == quote) result += '\\';
      result += text[i++];
      continue;
    }
    std::size_t end = i;
    while (end < text.size() && text[end] == '\\') ++end;
    const bool before_quote = end == text.size() || text[end] == quote;
    result.append((end - i) * (before_quote ? 2 : 1), '\\');
    i = end;
  }
  return result + quote;
}

// Shell patterns as Python's fnmatch knows them: * ? [seq] [!seq].
bool matches(std::string_view pattern, std::string_view name) {
  if (pattern.empty()) return name.empty();
  if (pattern[0] == '*') {
    for (std::size_t i = 0; i <= name.size(); ++i)
      if (matches(pattern.substr(1), name.substr(i))) return true;
    return false;
  }
  if (name.empty()) return false;
  if (pattern[0] == '[') {
    std::size_t i = 1;
    const bool inverted = i < pattern.size() && pattern[i] == '!';
    if (inverted) ++i;
    const std::size_t first = i;
    const std::size_t close = pattern.find(']', first + 1);  // a ']' that comes first stands for itself
    if (close != pattern.npos && first < pattern.size()) {
      bool inside = false;
      for (; i < close; ++i) {
        if (i + 2 < close && pattern[i + 1] == '-') {
          inside = inside || (pattern[i] <= name[0] && name[0] <= pattern[i + 2]);
          i += 2;
        } else {
          inside = inside || pattern[i] == name[0];
        }
      }
      return inside != inverted && matches(pattern.substr(close + 1), name.substr(1));
    }
  }
  return (pattern[0] == '?' || pattern[0] == name[0]) && matches(pattern.substr(1), name.substr(1));
}
}  // namespace

Node to_node(const Element& element) {
  Node node = element.scalar;
  if (element.shape == Element::Shape::kList) {
    node = Node::list();
    for (const Element& item : element.items) node.push_back(to_node(item));
  } else if (element.shape == Element::Shape::kDict) {
    node = Node::map();
    for (const auto& [key, value] : element.entries) {
      if (key.scalar.is_null())
        throw ConfigError(fmt::format("{}: null cannot be the key of a map", to_string(element.scalar.position())));
      node.set_typed(key.scalar.kind(), key_text(key.scalar), to_node(value));
    }
  }
  node.set_position_of(element.scalar);
  return node;
}

std::string element_text(const Element& element) {
  std::string text;
  switch (element.shape) {
    case Element::Shape::kList:
      for (const Element& item : element.items) text += (text.empty() ? "" : ",") + element_text(item);
      return "[" + text + "]";
    case Element::Shape::kDict:
      for (const auto& [key, value] : element.entries)
        text += (text.empty() ? "" : ",") + element_text(key) + ":" + element_text(value);
      return "{" + text + "}";
    case Element::Shape::kScalar:
      break;
  }
  if (element.scalar.is_null()) return "null";
  if (!element.scalar.is_string()) return python_text(element.scalar);
  const std::string& raw = element.scalar.as_string();
  return element.quote ? quoted(raw, element.quote) : escaped(raw);
}

std::vector<Element> sweep_values(const Sweep& sweep) {
  switch (sweep.shape) {
    case Sweep::Shape::kChoice:
      return sweep.choices;
    case Sweep::Shape::kRange: {
      std::vector<Element> values;
      for (Node& value : range_values(sweep.start, sweep.stop, sweep.step)) {
        values.emplace_back();
        values.back().scalar = std::move(value);
      }
      return values;
    }
    case Sweep::Shape::kInterval:
      throw ConfigError(
          "an interval has no single values that a grid could take; use range(start,stop,step) or a choice");
    case Sweep::Shape::kTaskOrders:
      throw ConfigError("task orders need the list that they permute");
    case Sweep::Shape::kGlob:
      break;
  }
  throw ConfigError("a glob takes its values from the options of a config group");
}

std::vector<std::string> glob_names(const Sweep& sweep, const std::vector<std::string>& names) {
  const auto any = [](const std::vector<std::string>& patterns, const std::string& name) {
    for (const std::string& pattern : patterns)
      if (matches(pattern, name)) return true;
    return false;
  };
  std::vector<std::string> result;
  for (const std::string& name : names)
    if (any(sweep.include, name) && !any(sweep.exclude, name)) result.push_back(name);
  return result;
}

}  // namespace mneme::config
