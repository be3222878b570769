#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <variant>

#include "core/base/error.h"
#include "core/config/override.h"
#include "core/config/override_functions.h"
#include "core/config/override_lexer.h"
#include "core/config/python_text.h"

namespace mneme::config {

namespace {
constexpr int kMostLevels = 100;

bool is_run_token(TokenType type, bool in_dict_key) {
  switch (type) {
    case TokenType::kId:
    case TokenType::kNull:
    case TokenType::kInt:
    case TokenType::kFloat:
    case TokenType::kBool:
    case TokenType::kUnquotedChar:
    case TokenType::kEscape:
    case TokenType::kBlank:
      return true;
    case TokenType::kColon:
    case TokenType::kInterpolation:
      return !in_dict_key;
    default:
      return false;
  }
}

std::string unescaped(std::string_view text) {
  std::string result;
  for (std::size_t i = 1; i < text.size(); i += 2) result += text[i];
  return result;
}

// Backslashes directly before the string's own quote (also before the closing one) come in pairs, of which one stays.
std::string unquoted(std::string_view token) {
  const char quote = token[0];
  std::string result;
  for (std::size_t i = 1; i + 1 < token.size();) {
    if (token[i] != '\\') {
      result += token[i++];
      continue;
    }
    std::size_t end = i;
    while (token[end] == '\\') ++end;
    const std::size_t count = end - i;
    if (token[end] != quote) {
      result.append(count, '\\');
    } else if (end + 1 == token.size()) {
      result.append(count / 2, '\\');
    } else {
      result.append(count / 2, '\\');
      result += quote;
      ++end;
    }
    i = end;
  }
  return result;
}

class Parser {
 public:
  Parser(std::string_view text, bool value_only, const OverrideOptions& options)
      : text_(text),
        value_only_(value_only),
        options_(options),
        tokens_(tokenize_override(text, value_only, options)) {}

  Override override() {
    Override result;
    result.text = text_;
    result.position = {options_.file, options_.number, 1};
    if (take(TokenType::kTilde))
      result.type = OverrideType::kDelete;
    else if (take(TokenType::kPlus))
      result.type = take(TokenType::kPlus) ? OverrideType::kForceAdd : OverrideType::kAdd;
    key(result);
    if (peek().type == TokenType::kEnd && result.type == OverrideType::kDelete) return result;
    if (!take(TokenType::kEqual)) {
      if (peek().type == TokenType::kEnd)
        fail(fmt::format("'=' is missing: an override is key=value, +key=value, ++key=value or ~key"));
      fail(fmt::format("unexpected {} in the key", shown(peek())));
    }
    value_after_equal(result);
    return result;
  }

  Override value_alone() {
    Override result;
    result.text = text_;
    result.position = {options_.file, options_.number, 1};
    value_after_equal(result);
    return result;
  }

 private:
  using Value = FunctionValue;

  const Token& peek() const { return tokens_[next_]; }
  std::string_view text_of(const Token& token) const { return text_.substr(token.begin, token.end - token.begin); }
  bool take(TokenType type) {
    if (peek().type != type) return false;
    ++next_;
    return true;
  }
  [[noreturn]] void fail(const std::string& what) const { fail_at(peek().begin, what); }
  [[noreturn]] void fail_at(std::size_t offset, const std::string& what) const {
    fail_override(text_, offset, what, options_, value_only_);
  }
  std::string shown(const Token& token) const {
    return token.type == TokenType::kEnd ? "end" : fmt::format("'{}'", text_of(token));
  }

  void check_levels(std::size_t offset, std::string_view key) const {
    if (std::count(key.begin(), key.end(), '.') > kMostLevels)
      fail_at(offset, fmt::format("the key has more than {} levels", kMostLevels));
  }

  // key := (group | package) [ '@' package ]
  void key(Override& result) {
    const Token first = peek();
    if (first.type == TokenType::kId) {
      ++next_;
      while (take(TokenType::kSlash))
        if (!take(TokenType::kId)) fail("a group is names with '/' between them");
    } else if (first.type == TokenType::kKeySpecial || first.type == TokenType::kDotPath) {
      ++next_;
    }
    result.key =
        text_.substr(first.begin, next_ == 0 ? 0 : std::max(tokens_[next_ - 1].end, first.begin) - first.begin);
    check_levels(first.begin, result.key);
    if (take(TokenType::kAt)) {
      result.package.emplace();
      const Token& package = peek();
      if (take(TokenType::kId) || take(TokenType::kKeySpecial) || take(TokenType::kDotPath))
        result.package = text_of(package);
      check_levels(package.begin, *result.package);
    }
    if (result.key.empty() && !result.package && (peek().type == TokenType::kEqual || peek().type == TokenType::kEnd))
      fail_at(first.begin, "the key is empty");
  }

  void value_after_equal(Override& result) {
    result.value_offset = next_ == 0 ? 0 : tokens_[next_ - 1].end;
    result.value_type = ValueType::kElement;
    if (peek().type == TokenType::kEnd) {
      result.value.scalar = Node::string("");
    } else {
      const std::size_t start = peek().begin;
      std::vector<Value> values;
      do {
        values.push_back(element());
      } while (take(TokenType::kComma));
      if (peek().type != TokenType::kEnd) fail(fmt::format("unexpected {} behind the value", shown(peek())));
      if (values.size() == 1)
        set_value(result, std::move(values[0]));
      else
        set_choices(result, std::move(values), start);
    }
    place(result.value, result.value_offset);
  }

  void set_value(Override& result, Value value) {
    if (auto* element = std::get_if<Element>(&value)) {
      result.value = std::move(*element);
      return;
    }
    result.sweep = std::move(std::get<Sweep>(value));
    switch (result.sweep.shape) {
      case Sweep::Shape::kChoice:
        result.value_type = result.sweep.simple ? ValueType::kSimpleChoice : ValueType::kChoice;
        break;
      case Sweep::Shape::kRange:
        result.value_type = ValueType::kRange;
        break;
      case Sweep::Shape::kInterval:
        result.value_type = ValueType::kInterval;
        break;
      case Sweep::Shape::kGlob:
        result.value_type = ValueType::kGlob;
        break;
      case Sweep::Shape::kTaskOrders:
        result.value_type = ValueType::kTaskOrders;
        break;
    }
  }

  void set_choices(Override& result, std::vector<Value> values, std::size_t start) {
    result.value_type = ValueType::kSimpleChoice;
    result.sweep.simple = true;
    for (Value& value : values) {
      auto* element = std::get_if<Element>(&value);
      if (!element)
        fail_at(start,
                "a choice, range, glob or interval cannot stand in a list of values with commas; "
                "write all the values in one choice(…)");
      result.sweep.choices.push_back(std::move(*element));
    }
  }

  // The value's nodes are told where they stand, to the byte for a value of one piece.
  void place(Element& element, std::size_t offset) const {
    element.scalar.set_position({options_.file, options_.number, static_cast<int>(offset) + 1});
    for (Element& item : element.items) place(item, offset);
    for (auto& entry : element.entries) place(entry.second, offset);
  }

  Value element() {
    if (++level_ > kMostLevels) fail(fmt::format("more than {} levels of nesting", kMostLevels));
    Value result = [&]() -> Value {
      switch (peek().type) {
        case TokenType::kBracketOpen:
          return list();
        case TokenType::kBraceOpen:
          return dict();
        case TokenType::kQuoted:
          return quoted();
        case TokenType::kId:
          if (tokens_[next_ + 1].type == TokenType::kParenOpen) return function();
          break;
        default:
          break;
      }
      return run(false);
    }();
    --level_;
    return result;
  }

  // An element inside a list or dict, where no sweep may stand.
  Element plain_element(std::string_view holder) {
    const std::size_t start = peek().begin;
    Value value = element();
    if (auto* element = std::get_if<Element>(&value)) return std::move(*element);
    fail_at(start, fmt::format("a sweep cannot stand inside a {}", holder));
  }

  Element quoted() {
    const std::string_view token = text_of(peek());
    ++next_;
    Element result;
    result.scalar = Node::string(unquoted(token));
    result.quote = token[0];
    return result;
  }

  Element list() {
    ++next_;
    Element result;
    result.shape = Element::Shape::kList;
    if (take(TokenType::kBracketClose)) return result;
    do {
      result.items.push_back(plain_element("list"));
    } while (take(TokenType::kComma));
    if (!take(TokenType::kBracketClose)) fail(fmt::format("expected ',' or ']' in the list, found {}", shown(peek())));
    return result;
  }

  Element dict() {
    ++next_;
    Element result;
    result.shape = Element::Shape::kDict;
    if (take(TokenType::kBraceClose)) return result;
    do {
      Element name = run(true);
      if (!take(TokenType::kColon)) fail(fmt::format("expected ':' behind the key of a map, found {}", shown(peek())));
      Element value = plain_element("map");
      set_entry(result, std::move(name), std::move(value));
    } while (take(TokenType::kComma));
    if (!take(TokenType::kBraceClose)) fail(fmt::format("expected ',' or '}}' in the map, found {}", shown(peek())));
    return result;
  }

  // As a Python dict: an equal key keeps its place and its first spelling and takes the later value.
  static void set_entry(Element& dict, Element name, Element value) {
    for (auto& [known, old] : dict.entries)
      if (python_equal(known.scalar, name.scalar)) {
        old = std::move(value);
        return;
      }
    dict.entries.emplace_back(std::move(name), std::move(value));
  }

  // Tokens without quotes: one alone keeps its type, several make a string.
  Element run(bool in_dict_key) {
    const std::size_t first = next_;
    while (is_run_token(peek().type, in_dict_key)) ++next_;
    if (next_ == first) {
      if (in_dict_key && peek().type == TokenType::kQuoted) fail("the key of a map cannot be quoted");
      fail(fmt::format("expected {}, found {}", in_dict_key ? "a key" : "a value", shown(peek())));
    }
    std::size_t begin = first, end = next_;
    if (tokens_[begin].type == TokenType::kBlank) ++begin;
    if (begin == end) fail_at(tokens_[first].begin, "a value of blanks must be quoted");
    if (tokens_[end - 1].type == TokenType::kBlank) --end;
    Element result;
    if (end - begin == 1) {
      result.scalar = typed(tokens_[begin]);
    } else {
      std::string joined;
      for (std::size_t i = begin; i < end; ++i)
        joined +=
            tokens_[i].type == TokenType::kEscape ? unescaped(text_of(tokens_[i])) : std::string(text_of(tokens_[i]));
      result.scalar = Node::string(std::move(joined));
    }
    return result;
  }

  Node typed(const Token& token) const {
    const std::string_view text = text_of(token);
    switch (token.type) {
      case TokenType::kNull:
        return Node::null();
      case TokenType::kBool:
        return Node::boolean((text[0] | 0x20) == 't');
      case TokenType::kFloat:
        return Node::real(parse_python_float(text).value_or(0));
      case TokenType::kInt: {
        const auto digits = parse_python_int(text);
        if (!digits) fail_at(token.begin, "the number has more than 4300 digits");
        return Node::integer_digits(*digits);
      }
      case TokenType::kEscape:
        return Node::string(unescaped(text));
      default:
        return Node::string(std::string(text));
    }
  }

  Value function() {
    const std::size_t start = peek().begin;
    FunctionCall call;
    call.name = text_of(peek());
    next_ += 2;
    if (!take(TokenType::kParenClose)) {
      do {
        argument(call);
      } while (take(TokenType::kComma));
      if (!take(TokenType::kParenClose))
        fail(fmt::format("expected ',' or ')' in the arguments of {}(), found {}", call.name, shown(peek())));
    }
    try {
      return call_function(call, options_);
    } catch (const ConfigError& e) {
      fail_at(start, e.message());
    }
  }

  void argument(FunctionCall& call) {
    if (peek().type == TokenType::kId && tokens_[next_ + 1].type == TokenType::kEqual) {
      const std::string name(text_of(peek()));
      next_ += 2;
      Value value = element();
      for (auto& [known, old] : call.named)
        if (known == name) {
          old = std::move(value);
          return;
        }
      call.named.emplace_back(name, std::move(value));
      return;
    }
    if (!call.named.empty())
      fail(fmt::format("an argument without a name stands behind a named one in {}()", call.name));
    call.positional.push_back(element());
  }

  std::string_view text_;
  bool value_only_;
  const OverrideOptions& options_;
  std::vector<Token> tokens_;
  std::size_t next_ = 0;
  int level_ = 0;
};
}  // namespace

Override parse_override(std::string_view text, const OverrideOptions& options) {
  return Parser(text, false, options).override();
}

Override parse_override_value(std::string_view text, const OverrideOptions& options) {
  return Parser(text, true, options).value_alone();
}

std::string Override::full_key() const { return package ? fmt::format("{}@{}", key, *package) : key; }

std::string Override::key_element() const {
  constexpr std::string_view kPrefixes[] = {"", "+", "++", "~"};
  return fmt::format("{}{}", kPrefixes[static_cast<int>(type)], full_key());
}

}  // namespace mneme::config
