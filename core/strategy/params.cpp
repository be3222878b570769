#include "core/strategy/params.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <type_traits>

#include "core/base/error.h"
#include "core/base/suggest.h"

namespace mneme {

namespace {

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(' ');
  return first == text.npos ? "" : text.substr(first, text.find_last_not_of(' ') - first + 1);
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  if (trim(text).empty()) return parts;
  for (std::size_t end = 0; end != text.npos; text.remove_prefix(end == text.npos ? 0 : end + 1)) {
    end = text.find(separator);
    parts.emplace_back(trim(text.substr(0, end)));
  }
  return parts;
}

template <class T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string unquote(std::string_view text) {
  const bool quoted = text.size() >= 2 && (text[0] == '\'' || text[0] == '"') && text.back() == text[0];
  return std::string(quoted ? text.substr(1, text.size() - 2) : text);
}

/// One bound of a range: whether it holds for the value.
bool meets(std::string_view relation, double bound, double value) {
  if (relation == ">") return value > bound;
  if (relation == ">=") return value >= bound;
  if (relation == "<") return value < bound;
  return value <= bound;
}

/// "", "> 0", ">= 1", "< 1", "[0, 1]", "(0, 1)", "[0, 1)".
bool in_range(const ParamSpec& spec, double value) {
  const std::string_view range = trim(spec.range);
  if (range.empty()) return true;
  if (range.front() == '[' || range.front() == '(') {
    const auto ends = split(range.substr(1, range.size() - 2), ',');
    if (ends.size() == 2)
      if (const auto low = parse_number<double>(ends[0]), high = parse_number<double>(ends[1]); low && high)
        return meets(range.front() == '[' ? ">=" : ">", *low, value) &&
               meets(range.back() == ']' ? "<=" : "<", *high, value);
  } else if (const auto digits = range.find_first_not_of("<>="); digits != range.npos && digits > 0) {
    if (const auto bound = parse_number<double>(trim(range.substr(digits))))
      return meets(range.substr(0, digits), *bound, value);
  }
  throw Error(
      fmt::format("parameter '{}' declares the range '{}', which is none; expected for instance '> 0', '[0, 1]'",
                  spec.key, spec.range));
}

[[noreturn]] void throw_out_of_range(const ParamSpec& spec, double value) {
  throw Error(fmt::format("parameter '{}' is {}; expected {}", spec.key, value, spec.range));
}

template <class T>
void check_numbers(const ParamSpec& spec, const std::vector<T>& values) {
  for (const T value : values)
    if (!in_range(spec, static_cast<double>(value))) throw_out_of_range(spec, static_cast<double>(value));
}

bool has_type(const ParamValue& value, ParamType type) {
  switch (type) {
    case ParamType::kBool:
      return std::holds_alternative<bool>(value);
    case ParamType::kInt:
      return std::holds_alternative<std::int64_t>(value);
    case ParamType::kReal:
      return std::holds_alternative<double>(value);
    case ParamType::kText:
    case ParamType::kChoice:
      return std::holds_alternative<std::string>(value);
    case ParamType::kIntList:
      return std::holds_alternative<std::vector<std::int64_t>>(value);
    case ParamType::kRealList:
      return std::holds_alternative<std::vector<double>>(value);
    case ParamType::kTextList:
      return std::holds_alternative<std::vector<std::string>>(value);
  }
  return false;
}

void check_value(const ParamSpec& spec, const ParamValue& value) {
  if (std::holds_alternative<std::monostate>(value)) {
    if (!spec.nullable)
      throw Error(fmt::format("parameter '{}' is null; expected a {}", spec.key, to_string(spec.type)));
    return;
  }
  if (!has_type(value, spec.type))
    throw Error(
        fmt::format("parameter '{}' has a value of another type; expected a {}", spec.key, to_string(spec.type)));
  if (const auto* i = std::get_if<std::int64_t>(&value)) check_numbers<std::int64_t>(spec, {*i});
  if (const auto* r = std::get_if<double>(&value)) check_numbers<double>(spec, {*r});
  if (const auto* list = std::get_if<std::vector<std::int64_t>>(&value)) check_numbers(spec, *list);
  if (const auto* list = std::get_if<std::vector<double>>(&value)) check_numbers(spec, *list);
  if (spec.type != ParamType::kChoice) return;
  const auto& word = std::get<std::string>(value);
  const auto words = split(spec.range, '|');
  if (std::find(words.begin(), words.end(), word) == words.end())
    throw Error(fmt::format("parameter '{}' is '{}'; expected one of {}{}", spec.key, word, fmt::join(words, ", "),
                            hint(word, words)));
}

template <class T>
std::vector<T> parse_list(const ParamSpec& spec, std::string_view text) {
  if (text.size() < 2 || text.front() != '[' || text.back() != ']')
    throw Error(fmt::format("parameter '{}' has the default '{}'; expected a list such as [a, b]", spec.key, text));
  std::vector<T> values;
  for (const auto& part : split(text.substr(1, text.size() - 2), ',')) {
    if constexpr (std::is_same_v<T, std::string>) {
      values.push_back(unquote(part));
    } else {
      const auto number = parse_number<T>(part);
      if (!number)
        throw Error(
            fmt::format("parameter '{}' has '{}' in its default; expected a {}", spec.key, part, to_string(spec.type)));
      values.push_back(*number);
    }
  }
  return values;
}

std::vector<std::string> keys_of(const ParamSpecs& specs) {
  std::vector<std::string> keys;
  for (const auto& spec : specs) keys.push_back(spec.key);
  return keys;
}

}  // namespace

const char* to_string(ParamType type) {
  switch (type) {
    case ParamType::kBool:
      return "flag";
    case ParamType::kInt:
      return "integer";
    case ParamType::kReal:
      return "real";
    case ParamType::kText:
      return "text";
    case ParamType::kChoice:
      return "choice";
    case ParamType::kIntList:
      return "list of integers";
    case ParamType::kRealList:
      return "list of reals";
    case ParamType::kTextList:
      return "list of texts";
  }
  return "?";
}

ParamValue default_value(const ParamSpec& spec) {
  const std::string_view text = trim(spec.default_text);
  if (text == "???") throw Error(fmt::format("parameter '{}' has no default and must be set", spec.key));
  if (text == "null") return std::monostate();
  switch (spec.type) {
    case ParamType::kBool:
      if (text == "true" || text == "false") return text == "true";
      break;
    case ParamType::kInt:
      if (const auto value = parse_number<std::int64_t>(text)) return *value;
      break;
    case ParamType::kReal:
      if (const auto value = parse_number<double>(text)) return *value;
      break;
    case ParamType::kText:
    case ParamType::kChoice:
      return unquote(text);
    case ParamType::kIntList:
      return parse_list<std::int64_t>(spec, text);
    case ParamType::kRealList:
      return parse_list<double>(spec, text);
    case ParamType::kTextList:
      return parse_list<std::string>(spec, text);
  }
  throw Error(fmt::format("parameter '{}' has the default '{}'; expected a {}", spec.key, text, to_string(spec.type)));
}

Params::Params(ParamSpecs specs, std::map<std::string, ParamValue> values)
    : specs_(std::move(specs)), values_(std::move(values)) {
  for (const auto& [key, value] : values_) check_value(spec(key), value);
  for (const auto& spec : specs_)
    if (!values_.contains(spec.key)) throw Error(fmt::format("parameter '{}' has no value", spec.key));
}

Params Params::defaults(const ParamSpecs& specs, const std::map<std::string, ParamValue>& changes) {
  std::map<std::string, ParamValue> values = changes;
  for (const auto& spec : specs)
    if (!values.contains(spec.key)) values.emplace(spec.key, default_value(spec));
  return Params(specs, std::move(values));
}

const ParamSpec& Params::spec(const std::string& key) const {
  for (const auto& spec : specs_)
    if (spec.key == key) return spec;
  throw Error(fmt::format("parameter '{}' is not declared{}", key, hint(key, keys_of(specs_))));
}

template <class T>
const T& Params::get(const std::string& key, ParamType type) const {
  const ParamSpec& declared = spec(key);
  if (declared.type != type)
    throw Error(fmt::format("parameter '{}' is declared as a {} but read as a {}", key, to_string(declared.type),
                            to_string(type)));
  read_.insert(key);
  const auto* value = std::get_if<T>(&values_.at(key));
  if (value == nullptr) throw Error(fmt::format("parameter '{}' is null; ask is_null() first", key));
  return *value;
}

double Params::real(const std::string& key) const { return get<double>(key, ParamType::kReal); }
std::int64_t Params::integer(const std::string& key) const { return get<std::int64_t>(key, ParamType::kInt); }
bool Params::flag(const std::string& key) const { return get<bool>(key, ParamType::kBool); }
const std::string& Params::text(const std::string& key) const { return get<std::string>(key, ParamType::kText); }
const std::string& Params::choice(const std::string& key) const { return get<std::string>(key, ParamType::kChoice); }
const std::vector<std::int64_t>& Params::integers(const std::string& key) const {
  return get<std::vector<std::int64_t>>(key, ParamType::kIntList);
}
const std::vector<double>& Params::reals(const std::string& key) const {
  return get<std::vector<double>>(key, ParamType::kRealList);
}
const std::vector<std::string>& Params::texts(const std::string& key) const {
  return get<std::vector<std::string>>(key, ParamType::kTextList);
}

bool Params::is_null(const std::string& key) const {
  const ParamSpec& declared = spec(key);
  const bool null = std::holds_alternative<std::monostate>(values_.at(declared.key));
  if (null) read_.insert(key);
  return null;
}

std::vector<std::string> Params::unread() const {
  std::vector<std::string> keys;
  for (const auto& spec : specs_)
    if (!read_.contains(spec.key)) keys.push_back(spec.key);
  return keys;
}

}  // namespace mneme
