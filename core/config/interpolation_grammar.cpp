#include "core/config/interpolation_grammar.h"

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/config/override_lexer.h"
#include "core/config/python_text.h"

namespace mneme::config {

namespace {
constexpr int kMostLevels = 100;

bool is_blank(char c) { return c == ' ' || c == '\t'; }
bool is_id_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_id_part(char c) { return is_id_start(c) || (c >= '0' && c <= '9') || c == '-'; }
bool is_key_char(char c) { return std::string_view("\\{}()[]:. \t'\"").find(c) == std::string_view::npos; }

Expression text_part(std::string text) {
  Expression part;
  part.scalar = Node::string(std::move(text));
  return part;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Expression document() {
    std::vector<Expression> parts = composite('\0');
    if (parts.size() == 1 && parts[0].shape != Expression::Shape::kScalar) return std::move(parts[0]);
    return concatenation(std::move(parts));
  }

  Expression argument_alone() {
    Expression result = element();
    if (at_ < text_.size()) fail(fmt::format("unexpected '{}'", rest()));
    return result;
  }

 private:
  char peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  bool starts(std::string_view what) const { return text_.substr(at_).starts_with(what); }
  void skip_blanks() {
    while (is_blank(peek())) ++at_;
  }
  std::string_view rest() const { return text_.substr(at_, 20); }
  [[noreturn]] void fail(const std::string& what) const {
    throw ConfigError(fmt::format("in the interpolation '{}', at byte {}: {}", text_.substr(0, 200), at_ + 1, what));
  }
  void deeper() {
    if (++level_ > kMostLevels) fail(fmt::format("more than {} levels of nesting", kMostLevels));
  }

  static Expression concatenation(std::vector<Expression> parts) {
    std::string all;
    for (const Expression& part : parts) {
      if (part.shape != Expression::Shape::kScalar) {
        Expression result;
        result.shape = Expression::Shape::kConcat;
        result.parts = std::move(parts);
        return result;
      }
      all += part.scalar.as_string();
    }
    return text_part(std::move(all));
  }

  // Text with interpolations up to the closing quote, or to the end where quote is 0. Backslashes count only before
  // "${", before the quote and, inside quotes, at the end.
  std::vector<Expression> composite(char quote) {
    std::vector<Expression> parts;
    std::string literal;
    const auto flush = [&] {
      if (!literal.empty()) parts.push_back(text_part(std::move(literal)));
      literal.clear();
    };
    for (;;) {
      if (at_ == text_.size()) {
        if (quote) fail("the quote is not closed");
        break;
      }
      std::size_t backslashes = 0;
      while (peek(backslashes) == '\\') ++backslashes;
      const std::size_t behind = at_ + backslashes;
      const bool before_open = text_.substr(behind).starts_with("${");
      const bool before_quote = quote && behind < text_.size() && text_[behind] == quote;
      if (!before_open && !before_quote) {
        literal.append(text_.substr(at_, backslashes + 1));
        at_ = std::min(behind + 1, text_.size());
        continue;
      }
      literal.append(backslashes / 2, '\\');
      at_ = behind;
      if (backslashes % 2 == 1) {
        literal += before_open ? "${" : std::string(1, quote);
        at_ += before_open ? 2 : 1;
      } else if (before_quote) {
        break;
      } else {
        flush();
        parts.push_back(interpolation());
      }
    }
    flush();
    return parts;
  }

  Expression interpolation() {
    deeper();
    const std::size_t begin = at_;
    at_ += 2;
    skip_blanks();
    Expression result;
    result.shape = Expression::Shape::kNode;
    while (peek() == '.') result.parts.push_back(text_part(".")), ++at_;
    const bool may_be_resolver = result.parts.empty() && peek() != '[';
    bool only_ids = true;
    key_part(result.parts, only_ids);
    std::vector<Expression> names;
    if (may_be_resolver) names.push_back(result.parts.back());
    bool dotted_only = may_be_resolver;
    while (peek() == '.' || peek() == '[') {
      if (peek() == '[') {
        dotted_only = false;
      } else {
        result.parts.push_back(text_part("."));
        ++at_;
        if (peek() == '[') fail("a key must follow the dot");
      }
      key_part(result.parts, only_ids);
      names.push_back(result.parts.back());
    }
    std::size_t close = at_;
    while (close < text_.size() && is_blank(text_[close])) ++close;
    const char end = close < text_.size() ? text_[close] : '\0';
    if (end == ':' && dotted_only && only_ids) {
      at_ = close + 1;
      skip_blanks();
      result.shape = Expression::Shape::kResolver;
      result.name = std::move(names);
      result.parts = sequence('}');
    } else if (end == '}') {
      at_ = close + 1;
    } else {
      fail(close == text_.size() ? "'}' is missing" : fmt::format("unexpected '{}'", rest()));
    }
    result.text = text_.substr(begin, at_ - begin);
    --level_;
    return result;
  }

  // name, [name] or a nested interpolation
  void key_part(std::vector<Expression>& parts, bool& only_ids) {
    const bool bracket = peek() == '[';
    if (bracket) parts.push_back(text_part("[")), ++at_;
    if (starts("${")) {
      parts.push_back(interpolation());
    } else {
      const std::size_t begin = at_;
      while (at_ < text_.size() && is_key_char(text_[at_])) ++at_;
      if (at_ == begin)
        fail(at_ == text_.size() ? "a key is missing" : fmt::format("expected a key, found '{}'", rest()));
      const std::string_view name = text_.substr(begin, at_ - begin);
      only_ids = only_ids && is_id_start(name[0]);
      for (const char c : name) only_ids = only_ids && is_id_part(c);
      parts.push_back(text_part(std::string(name)));
    }
    if (!bracket) return;
    if (peek() != ']') fail("']' is missing");
    parts.push_back(text_part("]"));
    ++at_;
  }

  // Comma-separated values up to `close`; missing ones are empty strings (an old form that OmegaConf still takes).
  std::vector<Expression> sequence(char close) {
    std::vector<Expression> values;
    if (at_close(close)) return values;
    for (;;) {
      std::size_t mark = at_;
      while (mark < text_.size() && is_blank(text_[mark])) ++mark;
      const char c = mark < text_.size() ? text_[mark] : '\0';
      if (c == ',' || c == close)
        values.push_back(text_part(""));
      else
        values.push_back(element());
      if (at_close(close)) return values;
      skip_blanks();
      if (peek() != ',')
        fail(at_ == text_.size() ? fmt::format("'{}' is missing", close) : fmt::format("unexpected '{}'", rest()));
      ++at_;
      skip_blanks();
    }
  }

  bool at_close(char close) {
    std::size_t mark = at_;
    while (mark < text_.size() && is_blank(text_[mark])) ++mark;
    if (mark == text_.size() || text_[mark] != close) return false;
    at_ = mark + 1;
    return true;
  }

  Expression element() {
    deeper();
    const std::size_t begin = at_;
    Expression result;
    if (peek() == '\'' || peek() == '"') {
      result = quoted();
    } else if (peek() == '[') {
      ++at_;
      skip_blanks();
      result.shape = Expression::Shape::kList;
      result.parts = sequence(']');
    } else if (peek() == '{') {
      result = dict();
    } else {
      result = primitive(false);
    }
    result.text = text_.substr(begin, at_ - begin);
    --level_;
    return result;
  }

  Expression quoted() {
    const char quote = peek();
    ++at_;
    std::vector<Expression> parts = composite(quote);
    ++at_;
    return concatenation(std::move(parts));
  }

  Expression dict() {
    ++at_;
    skip_blanks();
    Expression result;
    result.shape = Expression::Shape::kDict;
    if (at_close('}')) return result;
    for (;;) {
      Expression key = primitive(true);
      skip_blanks();
      if (peek() != ':') fail("':' is missing behind a key");
      ++at_;
      skip_blanks();
      result.entries.emplace_back(std::move(key.scalar), element());
      if (at_close('}')) return result;
      skip_blanks();
      if (peek() != ',') fail(at_ == text_.size() ? "'}' is missing" : fmt::format("unexpected '{}'", rest()));
      ++at_;
      skip_blanks();
    }
  }

  // A run of unquoted tokens and interpolations. One token alone keeps its type.
  Expression primitive(bool is_key) {
    std::vector<Expression> parts;
    std::size_t tokens = 0;
    Node only;
    while (at_ < text_.size()) {
      if (starts("${")) {
        if (is_key) break;
        parts.push_back(interpolation());
        ++tokens;
        continue;
      }
      const Token token = next_value_token();
      const std::string_view text = text_.substr(at_, token.end);
      if (token.type == TokenType::kEnd || (is_key && token.type == TokenType::kColon)) break;
      only = typed(token.type, text);
      parts.push_back(text_part(token.type == TokenType::kEscape ? only.as_string() : std::string(text)));
      at_ += token.end;
      ++tokens;
    }
    if (tokens == 0) fail(at_ == text_.size() ? "a value is missing" : fmt::format("unexpected '{}'", rest()));
    if (tokens > 1) return concatenation(std::move(parts));
    if (parts[0].shape == Expression::Shape::kScalar) parts[0].scalar = only;
    return std::move(parts[0]);
  }

  // The next token of a value in the override grammar's value mode; kEnd where an element ends.
  Token next_value_token() const {
    const Token token = first_value_token(text_.substr(at_));
    switch (token.type) {
      case TokenType::kId:
      case TokenType::kNull:
      case TokenType::kInt:
      case TokenType::kFloat:
      case TokenType::kBool:
      case TokenType::kUnquotedChar:
      case TokenType::kEscape:
      case TokenType::kColon:
      case TokenType::kBlank:
        return token;
      default:
        return {};
    }
  }

  Node typed(TokenType type, std::string_view text) const {
    switch (type) {
      case TokenType::kNull:
        return Node::null();
      case TokenType::kBool:
        return Node::boolean((text[0] | 0x20) == 't');
      case TokenType::kFloat:
        return Node::real(parse_python_float(text).value_or(0));
      case TokenType::kInt: {
        const auto digits = parse_python_int(text);
        if (!digits) fail("the number has more than 4300 digits");
        return Node::integer_digits(*digits);
      }
      case TokenType::kEscape: {
        std::string plain;
        for (std::size_t i = 1; i < text.size(); i += 2) plain += text[i];
        return Node::string(std::move(plain));
      }
      default:
        return Node::string(std::string(text));
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int level_ = 0;
};
}  // namespace

// Out of line: a pair with an expression is complete only here.
Expression::Expression() = default;
Expression::~Expression() = default;
Expression::Expression(const Expression& other) = default;
Expression::Expression(Expression&& other) noexcept = default;
Expression& Expression::operator=(const Expression& other) = default;
Expression& Expression::operator=(Expression&& other) noexcept = default;

Expression parse_interpolation(std::string_view text) { return Parser(text).document(); }

Expression parse_argument(std::string_view text) { return Parser(text).argument_alone(); }

std::vector<std::string> split_key(std::string_view key) {
  std::vector<std::string> parts;
  std::size_t i = 0;
  while (i < key.size() && key[i] == '.') ++i;
  while (i < key.size() && key[i] != '.' && key[i] != '[') ++i;
  std::string_view head = key.substr(0, i);
  for (;;) {
    const std::size_t dot = head.find('.');
    parts.emplace_back(head.substr(0, dot));
    if (dot == head.npos) break;
    head.remove_prefix(dot + 1);
  }
  if (i < key.size() && key[i] == '[' && parts.back().empty()) parts.pop_back();
  while (i < key.size()) {
    if (key[i] == '.') {
      const std::size_t end = std::min(key.find_first_of(".[", i + 1), key.size());
      parts.emplace_back(key.substr(i + 1, end - i - 1));
      i = end;
    } else if (const std::size_t close = key.find(']', i); key[i] == '[' && close != key.npos) {
      parts.emplace_back(key.substr(i + 1, close - i - 1));
      i = close + 1;
    } else {
      ++i;  // a character that belongs to no part
    }
  }
  return parts;
}

}  // namespace mneme::config
