#include "core/config/yaml_scalar.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string>

#include "core/base/error.h"
#include "core/config/big_number.h"
#include "core/config/python_text.h"

namespace mneme::config {

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_digit_or_underscore(char c) { return is_digit(c) || c == '_'; }

// Walks over a text; every take_… moves on only if it matched.
struct Cursor {
  std::string_view rest;

  bool done() const { return rest.empty(); }
  bool take(char c) {
    if (done() || rest[0] != c) return false;
    rest.remove_prefix(1);
    return true;
  }
  bool take_one_of(std::string_view set) {
    if (done() || set.find(rest[0]) == set.npos) return false;
    rest.remove_prefix(1);
    return true;
  }
  template <class P>
  std::size_t take_while(P&& predicate) {
    std::size_t n = 0;
    while (n < rest.size() && predicate(rest[n])) ++n;
    rest.remove_prefix(n);
    return n;
  }
  std::size_t digits() { return take_while(is_digit); }
};

bool one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

// [0-9]+(_[0-9]+)*
bool take_grouped_digits(Cursor& c) {
  if (c.digits() == 0) return false;
  for (;;) {
    Cursor ahead = c;
    if (!ahead.take('_') || ahead.digits() == 0) return true;
    c = ahead;
  }
}

// [eE][-+]?[0-9]+ to the end
bool is_exponent(Cursor c, bool sign_needed) {
  if (!c.take_one_of("eE")) return false;
  if (!c.take_one_of("+-") && sign_needed) return false;
  return c.digits() > 0 && c.done();
}

// (:[0-5]?[0-9])+
bool take_sexagesimal(Cursor& c) {
  std::size_t groups = 0;
  while (c.take(':')) {
    if (c.done() || !is_digit(c.rest[0])) return false;
    const bool two = c.rest.size() > 1 && is_digit(c.rest[1]);
    if (two && c.rest[0] > '5') return false;
    c.rest.remove_prefix(two ? 2 : 1);
    ++groups;
  }
  return groups > 0;
}

bool is_pyyaml_float(std::string_view text) {
  if (one_of(text,
             {".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF", ".nan", ".NaN", ".NAN"}))
    return true;
  if (Cursor c{text}; c.take('.')) {
    if (c.done() || !is_digit(c.rest[0])) return false;
    c.take_while(is_digit_or_underscore);
    return c.done() || is_exponent(c, true);
  }
  Cursor c{text};
  c.take_one_of("+-");
  if (c.done() || !is_digit(c.rest[0])) return false;
  c.take_while(is_digit_or_underscore);
  if (Cursor point = c; point.take('.')) {
    point.take_while(is_digit_or_underscore);
    return point.done() || is_exponent(point, true);
  }
  if (!take_sexagesimal(c) || !c.take('.')) return false;
  c.take_while(is_digit_or_underscore);
  return c.done();
}

bool is_omegaconf_float(std::string_view text) {
  Cursor c{text};
  c.take_one_of("+-");
  if (!take_grouped_digits(c)) return false;  // the forms without leading digits are those of PyYAML
  if (is_exponent(c, false)) return true;
  if (!c.take('.')) return false;
  c.take_while(is_digit_or_underscore);
  return c.done() || is_exponent(c, false);
}

bool is_int(std::string_view text) {
  Cursor c{text};
  c.take_one_of("+-");
  if (c.done()) return false;
  if (c.take('0')) {
    if (c.done()) return true;
    if (c.take('b')) return c.take_while([](char d) { return d == '0' || d == '1' || d == '_'; }) > 0 && c.done();
    if (c.take('x'))
      return c.take_while([](char d) {
        return is_digit_or_underscore(d) || (d >= 'a' && d <= 'f') || (d >= 'A' && d <= 'F');
      }) > 0 &&
             c.done();
    return c.take_while([](char d) { return (d >= '0' && d <= '7') || d == '_'; }) > 0 && c.done();
  }
  if (!is_digit(c.rest[0])) return false;
  c.take_while(is_digit_or_underscore);
  return c.done() || (take_sexagesimal(c) && c.done());
}

// \d\d:\d\d(\.\d*)?([ \t]*(Z|[-+]\d\d?(:\d\d)?))? behind the hour
bool is_time_tail(Cursor c) {
  const auto two = [&c] {
    if (c.rest.size() < 2 || !is_digit(c.rest[0]) || !is_digit(c.rest[1])) return false;
    c.rest.remove_prefix(2);
    return true;
  };
  if (!c.take(':') || !two() || !c.take(':') || !two()) return false;
  if (c.take('.')) c.digits();
  if (c.done()) return true;
  c.take_while([](char d) { return d == ' ' || d == '\t'; });
  if (c.take('Z')) return c.done();
  if (!c.take_one_of("+-")) return false;
  if (const auto n = c.digits(); n < 1 || n > 2) return false;
  if (c.done()) return true;
  return c.take(':') && two() && c.done();
}

bool is_timestamp(std::string_view text) {
  Cursor c{text};
  if (c.digits() != 4 || !c.take('-')) return false;
  const std::size_t month = c.digits();
  if (month < 1 || month > 2 || !c.take('-')) return false;
  const std::size_t day = c.digits();
  if (day < 1 || day > 2) return false;
  if (c.done()) return month == 2 && day == 2;
  if (!c.take_one_of("Tt") && c.take_while([](char d) { return d == ' ' || d == '\t'; }) == 0) return false;
  const std::size_t hour = c.digits();
  return hour >= 1 && hour <= 2 && is_time_tail(c);
}

ScalarType type_without_numbers(std::string_view text) {
  if (text.empty() || one_of(text, {"~", "null", "Null", "NULL"})) return ScalarType::kNull;
  if (one_of(text, {"yes", "Yes", "YES", "no", "No", "NO", "true", "True", "TRUE", "false", "False", "FALSE", "on",
                    "On", "ON", "off", "Off", "OFF"}))
    return ScalarType::kBool;
  if (text == "<<") return ScalarType::kMerge;
  if (text == "=") return ScalarType::kDefaultValue;
  return ScalarType::kString;
}

bool starts_number(std::string_view text) {
  return !text.empty() && std::string_view("-+0123456789.").find(text[0]) != std::string_view::npos;
}

std::string without_underscores(std::string_view text) {
  std::string result(text);
  result.erase(std::remove(result.begin(), result.end(), '_'), result.end());
  return result;
}

[[noreturn]] void fail(std::string_view where, std::string_view text, std::string_view what) {
  throw ConfigError(fmt::format("{}'{}' is no {}; quote it if it is meant as text", where, text, what));
}

Node int_value(std::string_view original, std::string_view where) {
  const std::string clean = without_underscores(original);
  std::string_view text = clean;
  const bool negative = !text.empty() && text[0] == '-';
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  std::optional<std::string> digits;
  if (text == "0")
    digits = "0";
  else if (text.starts_with("0b"))
    digits = parse_python_int(text.substr(2), 2);
  else if (text.starts_with("0x"))
    digits = parse_python_int(text.substr(2), 16);
  else if (text.starts_with("0"))
    digits = parse_python_int(text, 8);
  else if (text.find(':') != text.npos)
    digits = sexagesimal_digits(text);
  else
    digits = parse_python_int(text);
  if (!digits) fail(where, original, "whole number");
  return Node::integer_digits(fmt::format("{}{}", negative && *digits != "0" ? "-" : "", *digits));
}

Node float_value(std::string_view original, std::string_view where) {
  std::string clean = without_underscores(original);
  for (char& c : clean) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  std::string_view text = clean;
  const double sign = !text.empty() && text[0] == '-' ? -1 : 1;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  if (text == ".inf") return Node::real(sign * std::numeric_limits<double>::infinity());
  if (text == ".nan") return Node::real(std::numeric_limits<double>::quiet_NaN());
  double value = 0, base = 1;  // summed from the last part, as PyYAML does: the rounding is the same
  for (std::size_t end = text.size();;) {
    const std::size_t colon = text.substr(0, end).rfind(':');
    const std::size_t start = colon == text.npos ? 0 : colon + 1;
    const auto part = parse_python_float(text.substr(start, end - start));
    if (!part) fail(where, original, "number");
    value += *part * base;
    base *= 60;
    if (colon == text.npos) break;
    end = colon;
  }
  return Node::real(sign * value);
}
}  // namespace

ScalarType loaded_type(std::string_view text) {
  if (starts_number(text)) {
    if (is_pyyaml_float(text)) return ScalarType::kFloat;
    if (is_int(text)) return ScalarType::kInt;
    return is_omegaconf_float(text) ? ScalarType::kFloat : ScalarType::kString;
  }
  return type_without_numbers(text);
}

ScalarType dumped_type(std::string_view text) {
  if (starts_number(text)) {
    if (is_pyyaml_float(text)) return ScalarType::kFloat;
    if (is_int(text)) return ScalarType::kInt;
    return is_timestamp(text) ? ScalarType::kTimestamp : ScalarType::kString;
  }
  return type_without_numbers(text);
}

Node scalar_value(ScalarType type, std::string_view text, std::string_view where) {
  switch (type) {
    case ScalarType::kNull:
      return Node::null();
    case ScalarType::kBool: {
      std::string word(text);
      for (char& c : word) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      if (one_of(word, {"true", "yes", "on"})) return Node::boolean(true);
      if (one_of(word, {"false", "no", "off"})) return Node::boolean(false);
      fail(where, text, "boolean");
    }
    case ScalarType::kInt:
      return int_value(text, where);
    case ScalarType::kFloat:
      return float_value(text, where);
    case ScalarType::kDefaultValue:
      fail(where, text, "value (YAML 1.1 reserves '=')");
    case ScalarType::kMerge:
      fail(where, text, "value (YAML 1.1 merges maps by it)");
    case ScalarType::kTimestamp:
    case ScalarType::kString:
      break;
  }
  return Node::string(std::string(text));
}

bool is_surprising_int(std::string_view text) {
  if (loaded_type(text) != ScalarType::kInt) return false;
  Cursor c{text};
  c.take_one_of("+-");
  return c.rest.find(':') != c.rest.npos ||
         (c.rest.size() > 1 && c.rest[0] == '0' && is_digit_or_underscore(c.rest[1]));
}

}  // namespace mneme::config
