#include "core/config/python_text.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <limits>

#include "core/config/big_number.h"
#include "core/config/utf8.h"

namespace mneme::config {

namespace {
constexpr std::size_t kMostDigits = 4300;  // CPython's default limit of int(text)

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string_view strip(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\n\r\v\f\x1c\x1d\x1e\x1f";
  const auto first = text.find_first_not_of(kBlanks);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

// Removes underscores that stand between two digits; nothing if one stands elsewhere.
template <class IsDigit>
std::optional<std::string> without_underscores(std::string_view text, IsDigit&& digit) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      result += text[i];
    } else if (i == 0 || i + 1 == text.size() || !digit(text[i - 1]) || !digit(text[i + 1])) {
      return std::nullopt;
    }
  }
  return result;
}

int digit_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 99;
}

// digits [. digits] [e [+-] digits] with at least one digit in the mantissa
bool is_decimal_number(std::string_view text) {
  std::size_t i = 0, digits = 0;
  for (; i < text.size() && is_digit(text[i]); ++i) ++digits;
  if (i < text.size() && text[i] == '.')
    for (++i; i < text.size() && is_digit(text[i]); ++i) ++digits;
  if (digits == 0) return false;
  if (i == text.size()) return true;
  if (text[i] != 'e' && text[i] != 'E') return false;
  if (++i < text.size() && (text[i] == '+' || text[i] == '-')) ++i;
  if (i == text.size()) return false;
  for (; i < text.size(); ++i)
    if (!is_digit(text[i])) return false;
  return true;
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return result;
}
}  // namespace

std::string python_float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  const std::string_view text(buffer, static_cast<std::size_t>(end - buffer));  // -d.ddde±XX
  const auto e = text.find('e');
  int exponent = 0;
  const char* first = text.data() + e + 1;
  std::from_chars(*first == '+' ? first + 1 : first, end, exponent);
  std::string digits, sign;
  for (const char c : text.substr(0, e)) {
    if (c == '-') sign = "-";
    if (is_digit(c)) digits += c;
  }
  const int count = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    const std::string mantissa = count == 1 ? digits : fmt::format("{}.{}", digits[0], digits.substr(1));
    return fmt::format("{}{}e{}{:02d}", sign, mantissa, exponent < 0 ? "-" : "+", std::abs(exponent));
  }
  if (exponent < 0)
    return fmt::format("{}0.{}{}", sign, std::string(static_cast<std::size_t>(-exponent - 1), '0'), digits);
  if (count <= exponent + 1)
    return fmt::format("{}{}{}.0", sign, digits, std::string(static_cast<std::size_t>(exponent + 1 - count), '0'));
  const auto whole = static_cast<std::size_t>(exponent + 1);
  return fmt::format("{}{}.{}", sign, digits.substr(0, whole), digits.substr(whole));
}

std::optional<double> parse_python_float(std::string_view text) {
  const std::string ascii = ascii_digits_and_blanks(text);
  const auto clean = without_underscores(strip(ascii), is_digit);
  if (!clean || clean->empty()) return std::nullopt;
  std::string_view rest = *clean;
  const bool negative = rest[0] == '-';
  if (rest[0] == '-' || rest[0] == '+') rest.remove_prefix(1);
  double value = 0;
  if (const std::string word = lower(rest); word == "inf" || word == "infinity") {
    value = std::numeric_limits<double>::infinity();
  } else if (word == "nan") {
    value = std::numeric_limits<double>::quiet_NaN();
  } else {
    if (!is_decimal_number(rest)) return std::nullopt;
    const auto result = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    if (result.ec == std::errc::result_out_of_range) value = std::strtod(std::string(rest).c_str(), nullptr);
  }
  return negative ? -value : value;
}

std::optional<std::string> parse_python_int(std::string_view text, int base) {
  const std::string ascii = ascii_digits_and_blanks(text);
  const auto clean = without_underscores(strip(ascii), [base](char c) { return digit_value(c) < base; });
  if (!clean || clean->empty()) return std::nullopt;
  std::string_view rest = *clean;
  const bool negative = rest[0] == '-';
  if (rest[0] == '-' || rest[0] == '+') rest.remove_prefix(1);
  if (rest.empty()) return std::nullopt;
  for (const char c : rest)
    if (digit_value(c) >= base) return std::nullopt;
  if (base == 10 && rest.size() > kMostDigits) return std::nullopt;
  while (rest.size() > 1 && rest[0] == '0') rest.remove_prefix(1);
  std::string digits(rest);
  if (base != 10) {
    if (rest.size() > kMostDigits) return std::nullopt;
    digits = decimal_digits(rest, base);
  }
  return fmt::format("{}{}", negative && digits != "0" ? "-" : "", digits);
}

std::string python_repr(std::string_view text) {
  const bool has_single = text.find('\'') != text.npos;
  const char quote = has_single && text.find('"') == text.npos ? '"' : '\'';
  std::string result(1, quote);
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t start = i;
    const char32_t c = next_code_point(text, i);
    if (c == static_cast<char32_t>(quote) || c == '\\')
      (result += '\\') += static_cast<char>(c);
    else if (c == '\n')
      result += "\\n";
    else if (c == '\r')
      result += "\\r";
    else if (c == '\t')
      result += "\\t";
    else if (c < 0x20 || (c >= 0x7f && c <= 0xa0) || c == 0xad)
      result += fmt::format("\\x{:02x}", static_cast<unsigned>(c));
    else if ((c >= 0x2028 && c <= 0x2029) || (c >= 0xd800 && c <= 0xf8ff) || c == 0xfeff || c == 0xffff)
      result += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    else
      result += text.substr(start, i - start);
  }
  return result + quote;
}

std::string python_repr(const Node& node) {
  return node.is_string() ? python_repr(node.as_string()) : python_text(node);
}

std::string python_text(const Node& node) {
  switch (node.kind()) {
    case Kind::kNull:
      return "None";
    case Kind::kBool:
      return node.as_bool() ? "True" : "False";
    case Kind::kInt:
      return node.int_digits();
    case Kind::kFloat:
      return python_float_text(node.as_float());
    case Kind::kString:
      return node.as_string();
    case Kind::kList: {
      std::string text = "[";
      for (const Node& item : node.items()) text += (text.size() > 1 ? ", " : "") + python_repr(item);
      return text + "]";
    }
    case Kind::kMap:
      break;
  }
  std::string text = "{";
  for (std::size_t i = 0; i < node.size(); ++i) {
    const auto& [key, value] = node.entries()[i];
    const Kind kind = node.key_kind(i);
    std::string name = key;
    if (kind == Kind::kString) name = python_repr(std::string_view(key));
    if (kind == Kind::kBool) name = key == "true" ? "True" : "False";
    text += (i > 0 ? ", " : "") + name + ": " + python_repr(value);
  }
  return text + "}";
}

}  // namespace mneme::config
