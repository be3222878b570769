#include "core/config/check.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/config/interpolation_grammar.h"
#include "core/config/override.h"
#include "core/config/python_text.h"

namespace mneme::config {

namespace {
std::string_view expected_name(ParamType type) {
  switch (type) {
    case ParamType::kBool:
      return "true or false";
    case ParamType::kInt:
      return "a whole number";
    case ParamType::kReal:
      return "a number";
    case ParamType::kText:
    case ParamType::kChoice:
      return "text";
    case ParamType::kIntList:
      return "a list of whole numbers";
    case ParamType::kRealList:
      return "a list of numbers";
    case ParamType::kTextList:
      return "a list of texts";
  }
  return "";
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (std::size_t i = 0; i <= text.size();) {
    const std::size_t end = std::min(text.find(separator, i), text.size());
    parts.emplace_back(text.substr(i, end - i));
    i = end + 1;
  }
  return parts;
}

class Checker {
 public:
  Checker(const ParamSpecs& specs, const std::string& path) : specs_(specs), path_(path) {}

  Node run(const Node& map) {
    if (!map.is_map() && !map.is_null())
      fail(map, "", fmt::format("expected a map, found {} {}", kind_name(map.kind()), describe(map)));
    if (map.is_map()) refuse_unknown(map, "");
    Node result = Node::map();
    result.set_position_of(map);
    for (const ParamSpec& spec : specs_) {
      const Node* given = map.is_map() ? find(map, spec.key) : nullptr;
      if (!given && spec.default_text == "???") fail(map, spec.key, fmt::format("the value is missing: {}", spec.help));
      put(result, spec.key, given ? checked(*given, spec) : default_value(spec));
    }
    return result;
  }

 private:
  [[noreturn]] void fail(const Node& node, const std::string& key, const std::string& what) const {
    const std::string where = to_string(node.position());
    const std::string full = path_.empty() ? key : key.empty() ? path_ : path_ + "." + key;
    throw ConfigError(fmt::format("{}{}{}: {}", where, where.empty() ? "" : ": ", full, what));
  }

  void refuse_unknown(const Node& map, const std::string& prefix) const {
    for (const auto& [key, value] : map.entries()) {
      const std::string full = prefix + key;
      const auto is = [&](const ParamSpec& s) { return s.key == full; };
      const auto holds = [&](const ParamSpec& s) { return s.key.starts_with(full + "."); };
      if (std::any_of(specs_.begin(), specs_.end(), is)) continue;
      if (std::any_of(specs_.begin(), specs_.end(), holds) && value.is_map()) {
        refuse_unknown(value, full + ".");
        continue;
      }
      std::vector<std::string> known;
      for (const ParamSpec& spec : specs_) known.push_back(spec.key);
      fail(value, full, fmt::format("there is no such setting{}", hint(full, known)));
    }
  }

  static const Node* find(const Node& map, const std::string& dotted) {
    const Node* node = &map;
    for (const std::string& part : split(dotted, '.')) {
      if (!node || !node->is_map()) return nullptr;
      node = node->find(part);
    }
    return node;
  }

  static void put(Node& map, const std::string& dotted, Node value) {
    Node* node = &map;
    const std::vector<std::string> parts = split(dotted, '.');
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      Node* next = node->find(parts[i]);
      node = next ? next : &node->set(parts[i], Node::map());
    }
    node->set(parts.back(), std::move(value));
  }

  Node checked(const Node& given, const ParamSpec& spec) const {
    if (given.is_missing()) fail(given, spec.key, fmt::format("the value is ??? and must be given: {}", spec.help));
    if (given.is_null()) {
      if (!spec.nullable) fail(given, spec.key, fmt::format("expected {}, found null", expected_name(spec.type)));
      return given;
    }
    switch (spec.type) {
      case ParamType::kIntList:
      case ParamType::kRealList:
      case ParamType::kTextList:
        return checked_list(given, spec);
      default:
        return checked_scalar(given, spec, spec.type);
    }
  }

  Node checked_list(const Node& given, const ParamSpec& spec) const {
    if (!given.is_list()) wrong_type(given, spec, spec.type);
    const ParamType type = spec.type == ParamType::kIntList    ? ParamType::kInt
                           : spec.type == ParamType::kRealList ? ParamType::kReal
                                                               : ParamType::kText;
    Node list = Node::list();
    list.set_position_of(given);
    for (const Node& item : given.items()) list.push_back(checked_scalar(item, spec, type));
    return list;
  }

  [[noreturn]] void wrong_type(const Node& given, const ParamSpec& spec, ParamType type) const {
    fail(given, spec.key,
         fmt::format("expected {}, found {} {}", expected_name(type), kind_name(given.kind()), describe(given)));
  }

  Node checked_scalar(const Node& given, const ParamSpec& spec, ParamType type) const {
    switch (type) {
      case ParamType::kBool:
        if (!given.is_bool()) wrong_type(given, spec, type);
        return given;
      case ParamType::kInt:
        if (!given.is_int()) wrong_type(given, spec, type);
        check_range(given, static_cast<double>(given.as_int()), spec);
        return given;
      case ParamType::kReal: {
        if (!given.is_number()) wrong_type(given, spec, type);
        check_range(given, given.as_float(), spec);
        Node real = Node::real(given.as_float());
        real.set_position_of(given);
        return real;
      }
      default:
        break;
    }
    if (!given.is_string()) wrong_type(given, spec, type);
    if (type == ParamType::kChoice || (type == ParamType::kText && !spec.range.empty())) {
      const std::vector<std::string> choices = split(spec.range, '|');
      if (std::find(choices.begin(), choices.end(), given.as_string()) == choices.end()) {
        const std::string near = nearest(given.as_string(), choices);
        fail(given, spec.key,
             fmt::format("expected one of {}, found '{}'{}", fmt::join(choices, ", "), given.as_string(),
                         near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
      }
    }
    return given;
  }

  void check_range(const Node& given, double value, const ParamSpec& spec) const {
    if (!in_range(value, spec.range))
      fail(
          given, spec.key,
          fmt::format("expected a value {}, found {}",
                      spec.range[0] == '[' || spec.range[0] == '(' ? "in " + spec.range : spec.range, describe(given)));
  }

  // "> 0", ">= 1", "< 1", "<= 1", "[0, 1]", "(0, 1)", "[0, 1)", "(0, 1]" or ""
  bool in_range(double value, const std::string& range) const {
    if (range.empty()) return true;
    const auto number = [&](std::string_view text) {
      const auto parsed = parse_python_float(text);
      if (!parsed) throw ConfigError(fmt::format("internal: the range '{}' of a setting cannot be read", range));
      return *parsed;
    };
    if (range[0] == '[' || range[0] == '(') {
      const auto comma = range.find(',');
      const double low = number(std::string_view(range).substr(1, comma - 1));
      const double high = number(std::string_view(range).substr(comma + 1, range.size() - comma - 2));
      return (range[0] == '[' ? value >= low : value > low) && (range.back() == ']' ? value <= high : value < high);
    }
    const bool or_equal = range.size() > 1 && range[1] == '=';
    const double limit = number(std::string_view(range).substr(or_equal ? 2 : 1));
    if (range[0] == '>') return or_equal ? value >= limit : value > limit;
    return or_equal ? value <= limit : value < limit;
  }

  const ParamSpecs& specs_;
  const std::string& path_;
};
}  // namespace

Node default_value(const ParamSpec& spec) {
  if (spec.default_text == "???") return Node::null();
  OverrideOptions options;
  options.file = "<default of " + spec.key + ">";
  Node value = to_node(parse_override_value(spec.default_text, options).value);
  const bool is_text = spec.type == ParamType::kText || spec.type == ParamType::kChoice;
  if (is_text && !value.is_string() && !value.is_null())
    value = Node::string(spec.default_text);  // "1e3" meant as text
  if (spec.type == ParamType::kReal && value.is_int()) value = Node::real(value.as_float());
  if (spec.type == ParamType::kRealList && value.is_list())
    for (Node& item : value.items())
      if (item.is_int()) item = Node::real(item.as_float());
  return value;
}

Node check(const Node& map, const ParamSpecs& specs, const std::string& path) { return Checker(specs, path).run(map); }

}  // namespace mneme::config
