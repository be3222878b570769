#include "core/config/override_casts.h"

#include <fmt/format.h>

#include <cmath>

#include "core/base/error.h"
#include "core/config/big_number.h"
#include "core/config/json.h"
#include "core/config/python_text.h"

namespace mneme::config {

namespace {
std::string_view cast_name(Cast cast) {
  constexpr std::string_view kNames[] = {"int", "float", "str", "bool"};
  return kNames[static_cast<int>(cast)];
}

[[noreturn]] void fail(Cast cast, const Node& value) {
  throw ConfigError(fmt::format("{}(): {} cannot be cast", cast_name(cast), describe(value)));
}

bool is_whole(const Node& node) { return node.is_int() || node.is_bool(); }
std::string digits_of(const Node& node) { return node.is_bool() ? (node.as_bool() ? "1" : "0") : node.int_digits(); }
double real_of(const Node& node) { return node.is_bool() ? (node.as_bool() ? 1 : 0) : node.as_float(); }

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

Node cast_int(const Node& value) {
  if (is_whole(value)) return Node::integer_digits(digits_of(value));
  if (value.is_float() && std::isfinite(value.as_float()))
    return Node::integer_digits(truncated_digits(value.as_float()));
  if (value.is_string())
    if (const auto digits = parse_python_int(value.as_string())) return Node::integer_digits(*digits);
  fail(Cast::kInt, value);
}

Node cast_float(const Node& value) {
  if (is_whole(value) || value.is_float()) {
    const double number = real_of(value);
    if (value.is_int() && !std::isfinite(number)) fail(Cast::kFloat, value);
    return Node::real(number);
  }
  if (value.is_string())
    if (const auto number = parse_python_float(value.as_string())) return Node::real(*number);
  fail(Cast::kFloat, value);
}

Node cast_bool(const Node& value) {
  if (value.is_null()) return Node::boolean(false);
  if (!value.is_string()) return Node::boolean(is_whole(value) ? digits_of(value) != "0" : value.as_float() != 0);
  const std::string word = lower(value.as_string());
  if (word == "true" || word == "false") return Node::boolean(word == "true");
  fail(Cast::kBool, value);
}

Element cast_element(Cast cast, const Element& element) {
  Element result;
  result.shape = element.shape;
  result.shuffle = element.shuffle;
  if (element.shape == Element::Shape::kScalar) result.scalar = cast_scalar(cast, element.scalar);
  for (const Element& item : element.items) result.items.push_back(cast_element(cast, item));
  for (const auto& [key, value] : element.entries) result.entries.emplace_back(key, cast_element(cast, value));
  return result;
}
}  // namespace

Node cast_scalar(Cast cast, const Node& value) {
  switch (cast) {
    case Cast::kInt:
      return cast_int(value);
    case Cast::kFloat:
      return cast_float(value);
    case Cast::kBool:
      return cast_bool(value);
    case Cast::kText:
      break;
  }
  if (value.is_null()) fail(cast, value);
  return Node::string(value.is_bool() ? (value.as_bool() ? "true" : "false") : python_text(value));
}

FunctionValue cast_value(Cast cast, const FunctionValue& value) {
  if (const Element* element = std::get_if<Element>(&value)) return cast_element(cast, *element);
  const Sweep& sweep = std::get<Sweep>(value);
  Sweep result;
  result.shape = sweep.shape;
  if (sweep.shape == Sweep::Shape::kChoice) {
    result.simple = sweep.simple;
    for (const Element& choice : sweep.choices) {
      if (choice.shape == Element::Shape::kScalar && choice.scalar.is_null() && cast != Cast::kBool)
        fail(cast, choice.scalar);
      result.choices.push_back(cast_element(cast, choice));
    }
    return result;
  }
  if (cast == Cast::kText || cast == Cast::kBool)
    throw ConfigError(fmt::format("{}(): a range or interval can only be cast to int or float", cast_name(cast)));
  result.start = cast_scalar(cast, sweep.start);
  result.stop = cast_scalar(cast, sweep.stop);
  if (sweep.shape == Sweep::Shape::kInterval) {
    result.tags = sweep.tags;
    return result;
  }
  result.step = cast_scalar(cast, sweep.step);
  if (python_equal(result.step, Node::integer(0))) throw ConfigError("int(): the range's step becomes zero");
  return result;
}

bool python_equal(const Node& a, const Node& b) {
  if (is_whole(a) && is_whole(b)) return digits_of(a) == digits_of(b);
  const auto number = [](const Node& n) { return is_whole(n) || n.is_float(); };
  if (number(a) && number(b)) return real_of(a) == real_of(b);
  if (a.is_list() && b.is_list()) {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i)
      if (!python_equal(a.items()[i], b.items()[i])) return false;
    return true;
  }
  if (a.is_map() && b.is_map()) {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i) {
      const Node* other = b.find_typed(a.key_kind(i), a.entries()[i].first);
      if (!other || !python_equal(a.entries()[i].second, *other)) return false;
    }
    return true;
  }
  return a.kind() == b.kind() && a == b;
}

bool element_equal(const Element& a, const Element& b) {
  if (a.shape != b.shape || a.quote != b.quote || a.items.size() != b.items.size() ||
      a.entries.size() != b.entries.size())
    return false;
  if (a.shape == Element::Shape::kScalar) return python_equal(a.scalar, b.scalar);
  for (std::size_t i = 0; i < a.items.size(); ++i)
    if (!element_equal(a.items[i], b.items[i])) return false;
  for (std::size_t i = 0; i < a.entries.size(); ++i)
    if (!element_equal(a.entries[i].first, b.entries[i].first) ||
        !element_equal(a.entries[i].second, b.entries[i].second))
      return false;
  return true;
}

std::string json_of(const Element& element) { return dump_json(to_node(element)); }

Node add(const Node& a, const Node& b) {
  if (is_whole(a) && is_whole(b)) return Node::integer_digits(sum_digits(digits_of(a), digits_of(b)));
  return Node::real(real_of(a) + real_of(b));
}

Node subtract(const Node& a, const Node& b) {
  if (is_whole(a) && is_whole(b)) return Node::integer_digits(sum_digits(digits_of(a), negated_digits(digits_of(b))));
  return Node::real(real_of(a) - real_of(b));
}

Node absolute(const Node& a) {
  if (a.is_float()) return Node::real(std::abs(a.as_float()));
  const std::string digits = digits_of(a);
  return Node::integer_digits(digits[0] == '-' ? negated_digits(digits) : digits);
}

}  // namespace mneme::config
