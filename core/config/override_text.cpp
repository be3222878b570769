#include <fmt/format.h>

#include <optional>

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

// One place of a shell pattern as Python's fnmatch knows them: a character, '?', [seq], [!seq] or '*'.
struct PatternPart {
  bool star = false;
  bool any = false;       // '?'
  bool inverted = false;  // [!seq]
  std::string set;        // of characters, ranges written out

  bool takes(char c) const { return any || (set.find(c) != set.npos) != inverted; }
};

// The part that a '[' at `start` begins, and moves behind it; nothing if it is not closed and so stands for itself.
std::optional<PatternPart> bracket(std::string_view pattern, std::size_t& start) {
  std::size_t i = start + 1;
  PatternPart part;
  if (i < pattern.size() && pattern[i] == '!') part.inverted = true, ++i;
  const std::size_t close = pattern.find(']', i + 1);  // a ']' that comes first stands for itself
  if (i >= pattern.size() || close == pattern.npos) return std::nullopt;
  for (; i < close; ++i) {
    if (i + 2 < close && pattern[i + 1] == '-') {
      for (int c = static_cast<unsigned char>(pattern[i]); c <= static_cast<unsigned char>(pattern[i + 2]); ++c)
        part.set += static_cast<char>(c);
      i += 2;
    } else {
      part.set += pattern[i];
    }
  }
  start = close + 1;
  return part;
}

std::vector<PatternPart> pattern_parts(std::string_view pattern) {
  std::vector<PatternPart> parts;
  for (std::size_t i = 0; i < pattern.size();) {
    if (pattern[i] == '[')
      if (const auto part = bracket(pattern, i)) {
        parts.push_back(*part);
        continue;
      }
    PatternPart part;
    part.star = pattern[i] == '*';
    part.any = pattern[i] == '?';
    part.set = pattern[i++];
    parts.push_back(part);
  }
  return parts;
}

bool matches(std::string_view pattern, std::string_view name) {
  const std::vector<PatternPart> parts = pattern_parts(pattern);
  std::size_t at = 0, part = 0, star = parts.size(), star_at = 0;  // the last '*' and where it was tried
  while (at < name.size()) {
    if (part < parts.size() && parts[part].star) {
      star = part++;
      star_at = at;
    } else if (part < parts.size() && parts[part].takes(name[at])) {
      ++part, ++at;
    } else if (star < parts.size()) {
      part = star + 1;
      at = ++star_at;
    } else {
      return false;
    }
  }
  while (part < parts.size() && parts[part].star) ++part;
  return part == parts.size();
}
}  // namespace

// Out of line: a pair of elements is complete only here.
Element::Element() = default;
Element::~Element() = default;
Element::Element(const Element& other) = default;
Element::Element(Element&& other) noexcept = default;
Element& Element::operator=(const Element& other) = default;
Element& Element::operator=(Element&& other) noexcept = default;

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
