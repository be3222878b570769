#include "core/config/big_number.h"

#include <fmt/format.h>

#include <boost/multiprecision/cpp_int.hpp>
#include <charconv>
#include <cmath>

#include "core/base/error.h"
#include "core/config/python_text.h"

#pragma GCC diagnostic ignored "-Warray-bounds"  // false alarms of GCC 12 in cpp_int

namespace mneme::config {

namespace {
using Integer = boost::multiprecision::cpp_int;

int digit_value(char c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; }

Integer integer(std::string_view digits, int base = 10) {
  const bool negative = !digits.empty() && digits[0] == '-';
  if (negative) digits.remove_prefix(1);
  Integer value = 0;
  for (const char c : digits) value = value * base + digit_value(c);
  return negative ? Integer(-value) : value;
}

Integer power_of_ten(int exponent) { return boost::multiprecision::pow(Integer(10), static_cast<unsigned>(exponent)); }

// mantissa · 10^exponent
struct Decimal {
  Integer mantissa;
  int exponent = 0;

  Integer scaled_to(int least_exponent) const { return mantissa * power_of_ten(exponent - least_exponent); }
};

Decimal decimal_of(const Node& number) {
  if (number.is_bool()) return {number.as_bool() ? 1 : 0, 0};
  if (number.is_int()) return {integer(number.int_digits()), 0};
  if (!std::isfinite(number.as_float()))
    throw ConfigError(fmt::format("range() takes finite numbers, found {}", python_text(number)));
  const std::string text = python_float_text(number.as_float());
  Decimal result;
  const auto e = text.find('e');
  if (e != text.npos) {
    const std::string_view digits = std::string_view(text).substr(text[e + 1] == '+' ? e + 2 : e + 1);
    std::from_chars(digits.data(), digits.data() + digits.size(), result.exponent);
  }
  std::string digits = text.substr(0, e);
  if (const auto point = digits.find('.'); point != digits.npos) {
    result.exponent -= static_cast<int>(digits.size() - point - 1);
    digits.erase(point, 1);
  }
  result.mantissa = integer(digits);
  return result;
}
}  // namespace

std::string decimal_digits(std::string_view digits, int base) { return integer(digits, base).str(); }

std::string sexagesimal_digits(std::string_view text) {
  Integer value = 0;
  for (std::size_t i = 0; i <= text.size();) {
    const std::size_t end = std::min(text.find(':', i), text.size());
    value = value * 60 + integer(text.substr(i, end - i));
    i = end + 1;
  }
  return value.str();
}

std::string truncated_digits(double value) { return Integer(std::trunc(value)).str(); }

int compare_digits(std::string_view a, std::string_view b) { return integer(a).compare(integer(b)); }

std::string sum_digits(std::string_view a, std::string_view b) { return Integer(integer(a) + integer(b)).str(); }

std::string negated_digits(std::string_view a) { return Integer(-integer(a)).str(); }

std::vector<Node> range_values(const Node& start, const Node& stop, const Node& step, std::size_t most) {
  const Decimal numbers[] = {decimal_of(start), decimal_of(stop), decimal_of(step)};
  const bool whole = !start.is_float() && !stop.is_float() && !step.is_float();
  const int exponent = std::min({numbers[0].exponent, numbers[1].exponent, numbers[2].exponent});
  Integer value = numbers[0].scaled_to(exponent);
  const Integer end = numbers[1].scaled_to(exponent), stride = numbers[2].scaled_to(exponent);
  if (stride == 0) throw ConfigError("the step of range() must not be zero");
  std::vector<Node> values;
  for (; stride > 0 ? value < end : value > end; value += stride) {
    if (values.size() == most)
      throw ConfigError(fmt::format("range({}, {}, {}) has more than {} values", python_text(start), python_text(stop),
                                    python_text(step), most));
    const std::string digits = value.str();
    values.push_back(whole ? Node::integer_digits(digits)
                           : Node::real(*parse_python_float(fmt::format("{}e{}", digits, exponent))));
  }
  return values;
}

}  // namespace mneme::config
