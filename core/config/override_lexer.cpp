#include "core/config/override_lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "core/base/error.h"
#include "core/config/utf8.h"

namespace mneme::config {

namespace {
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_blank(char c) { return c == ' ' || c == '\t'; }
bool is_id_start(char c) { return is_letter(c) || c == '_'; }
bool is_id_part(char c) { return is_id_start(c) || is_digit(c) || c == '-'; }

class Lexer {
 public:
  Lexer(std::string_view text, const OverrideOptions& options) : text_(text), options_(options) {}

  std::vector<Token> run(bool value_only) {
    if (const std::size_t bad = find_invalid_utf8(text_); bad != text_.npos)
      fail_override(text_, bad, "the text is no valid UTF-8", options_, value_only);
    bool in_value = value_only;
    std::vector<Token> tokens;
    while (at_ < text_.size()) {
      const Token token = in_value ? value_token() : key_token();
      if (token.end == token.begin) fail(value_only);
      tokens.push_back(token);
      at_ = token.end;
      if (token.type == TokenType::kEqual) in_value = true;
    }
    tokens.push_back({TokenType::kEnd, at_, at_});
    return tokens;
  }

  Token first_value_token() { return text_.empty() ? Token{} : value_token(); }

 private:
  char peek(std::size_t i) const { return i < text_.size() ? text_[i] : '\0'; }
  std::size_t skip_blanks(std::size_t i) const {
    while (i < text_.size() && is_blank(text_[i])) ++i;
    return i;
  }
  template <class P>
  std::size_t skip_while(std::size_t i, P&& predicate) const {
    while (i < text_.size() && predicate(text_[i])) ++i;
    return i;
  }

  [[noreturn]] void fail(bool value_only) const {
    std::size_t next = at_;
    const char32_t c = next_code_point(text_, next);
    if (c == '\'' || c == '"')
      fail_override(text_, at_, fmt::format("the quote {} is not closed", text_.substr(at_, 1)), options_, value_only);
    const std::string shown = c < 0x20 ? fmt::format("U+{:04X}", static_cast<unsigned>(c))
                                       : fmt::format("'{}'", text_.substr(at_, next - at_));
    fail_override(text_, at_, fmt::format("unexpected character {}", shown), options_, value_only);
  }

  // 0 | [1-9](_?[0-9])*: the end, or i if there is none
  std::size_t unsigned_int(std::size_t i) const {
    if (peek(i) == '0') return i + 1;
    if (!is_digit(peek(i))) return i;
    return grouped_digits(i);
  }
  // [0-9](_?[0-9])*
  std::size_t grouped_digits(std::size_t i) const {
    if (!is_digit(peek(i))) return i;
    for (++i;;) {
      if (is_digit(peek(i)))
        ++i;
      else if (peek(i) == '_' && is_digit(peek(i + 1)))
        i += 2;
      else
        return i;
    }
  }

  Token key_token() const {
    const char c = text_[at_];
    const auto one = [this](TokenType type) { return Token{type, at_, at_ + 1}; };
    switch (c) {
      case '=':
        return {TokenType::kEqual, at_, skip_blanks(at_ + 1)};
      case '~':
        return one(TokenType::kTilde);
      case '+':
        return one(TokenType::kPlus);
      case '@':
        return one(TokenType::kAt);
      case ':':
        return one(TokenType::kColon);
      case '/':
        return one(TokenType::kSlash);
      default:
        break;
    }
    const std::size_t id = is_id_start(c) ? skip_while(at_, is_id_part) : at_;
    const std::size_t special = key_segment(at_);
    std::size_t path = special > at_ ? special : unsigned_int(at_);
    std::size_t segments = path > at_ ? 1 : 0;
    while (segments > 0 && peek(path) == '.') {
      std::size_t next = key_segment(path + 1);
      if (next == path + 1) next = unsigned_int(path + 1);
      if (next == path + 1) break;
      path = next;
      ++segments;
    }
    if (segments > 1) return {TokenType::kDotPath, at_, path};
    if (id > at_ && id >= special) return {TokenType::kId, at_, id};
    return {TokenType::kKeySpecial, at_, special};
  }
  std::size_t key_segment(std::size_t i) const {
    if (!is_id_start(peek(i)) && peek(i) != '$') return i;
    return skip_while(i, [](char c) { return is_id_part(c) || c == '$'; });
  }

  Token value_token() {
    Token best{TokenType::kEnd, at_, at_};
    const auto offer = [&](TokenType type, std::size_t end) {
      if (end > best.end) best = {type, at_, end};
    };
    // Blanks around punctuation belong to it.
    const std::size_t mark = skip_blanks(at_);
    const char c = peek(mark);
    if (c == '(') offer(TokenType::kParenOpen, skip_blanks(mark + 1));
    if (c == ',') offer(TokenType::kComma, skip_blanks(mark + 1));
    if (c == ')') offer(TokenType::kParenClose, mark + 1);
    if (c == ']') offer(TokenType::kBracketClose, mark + 1);
    if (c == '}') offer(TokenType::kBraceClose, mark + 1);
    if (c == ':') offer(TokenType::kColon, skip_blanks(mark + 1));
    if (c == '=') offer(TokenType::kEqual, skip_blanks(mark + 1));
    if (mark > at_) {
      offer(TokenType::kBlank, mark);
      return best;
    }
    if (c == '[') offer(TokenType::kBracketOpen, skip_blanks(mark + 1));
    if (c == '{') offer(TokenType::kBraceOpen, skip_blanks(mark + 1));
    offer(TokenType::kFloat, float_end());
    const std::size_t digits = at_ + (c == '+' || c == '-' ? 1 : 0);
    if (const std::size_t end = unsigned_int(digits); end > digits) offer(TokenType::kInt, end);
    if (is_word_at(at_, "true")) offer(TokenType::kBool, at_ + 4);
    if (is_word_at(at_, "false")) offer(TokenType::kBool, at_ + 5);
    if (is_word_at(at_, "null")) offer(TokenType::kNull, at_ + 4);
    if (std::string_view("/-\\+.$%*@?|").find(c) != std::string_view::npos) offer(TokenType::kUnquotedChar, at_ + 1);
    if (is_id_start(c)) offer(TokenType::kId, skip_while(at_, is_id_part));
    offer(TokenType::kEscape, escape_end());
    if (c == '"' || c == '\'') offer(TokenType::kQuoted, quoted_end(c));
    if (c == '$' && peek(at_ + 1) == '{') offer(TokenType::kInterpolation, interpolation_end());
    if (options_.lenient && best.end == at_) offer(TokenType::kUnquotedChar, lenient_end());
    return best;
  }

  // Words are known in any case.
  bool is_word_at(std::size_t i, std::string_view word) const {
    if (text_.size() - i < word.size()) return false;
    for (std::size_t k = 0; k < word.size(); ++k)
      if ((text_[i + k] | 0x20) != word[k]) return false;
    return true;
  }

  // [+-]? (inf | nan | uint '.' | uint? '.' digits | (uint | point float) exponent)
  std::size_t float_end() const {
    const std::size_t start = at_ + (text_[at_] == '+' || text_[at_] == '-' ? 1 : 0);
    std::size_t best = at_;
    if (is_word_at(start, "inf") || is_word_at(start, "nan")) best = start + 3;
    const std::size_t whole = unsigned_int(start);
    const auto offer = [&](std::size_t end) { best = std::max(best, end); };
    const auto exponent = [&](std::size_t i) {
      if ((peek(i) | 0x20) != 'e') return;
      const std::size_t digits = i + 1 + (peek(i + 1) == '+' || peek(i + 1) == '-' ? 1 : 0);
      if (const std::size_t end = grouped_digits(digits); end > digits) offer(end);
    };
    if (whole > start) exponent(whole);
    if (peek(whole) == '.') {
      if (whole > start) offer(whole + 1), exponent(whole + 1);
      if (const std::size_t end = grouped_digits(whole + 1); end > whole + 1) offer(end), exponent(end);
    }
    return best;
  }

  // A run of \\ \( \) \[ \] \{ \} \: \= \, "\ " and "\<tab>"
  std::size_t escape_end() const {
    std::size_t i = at_;
    while (peek(i) == '\\' && i + 1 < text_.size() &&
           std::string_view("\\()[]{}:=, \t").find(text_[i + 1]) != std::string_view::npos)
      i += 2;
    return i;
  }

  // Ends at the first such quote that an even number of backslashes stands before.
  std::size_t quoted_end(char quote) const {
    std::size_t backslashes = 0;
    for (std::size_t i = at_ + 1; i < text_.size(); ++i) {
      if (text_[i] == quote && backslashes % 2 == 0) return i + 1;
      backslashes = text_[i] == '\\' ? backslashes + 1 : 0;
    }
    return at_;
  }

  std::size_t interpolation_end() {
    const std::size_t inside = at_ + 2;
    if (next_brace_ < inside) next_brace_ = std::min(text_.find('}', inside), text_.size());
    return next_brace_ > inside && next_brace_ < text_.size() ? next_brace_ + 1 : at_;
  }

  std::size_t lenient_end() const {
    if (text_[at_] == '#') return at_ + 1;
    std::size_t next = at_;
    const char32_t c = next_code_point(text_, next);
    return c != kInvalidCodePoint && c >= 0xa1 ? next : at_;
  }

  std::string_view text_;
  const OverrideOptions& options_;
  std::size_t at_ = 0;
  std::size_t next_brace_ = 0;  // the first '}' at or behind the last look-up
};

// The override with its value in double quotes, if the error is in the value.
std::optional<std::string> quoted_form(std::string_view text, std::size_t offset, bool value_only) {
  const std::size_t equal = value_only ? 0 : text.find('=');
  if (equal == text.npos) return std::nullopt;
  const std::size_t start = value_only ? 0 : equal + 1;
  if (offset < start || start == text.size() || find_invalid_utf8(text) != text.npos) return std::nullopt;
  Element element;
  element.scalar = Node::string(std::string(text.substr(start)));
  element.quote = '"';
  return std::string(text.substr(0, start)) + element_text(element);
}
}  // namespace

std::vector<Token> tokenize_override(std::string_view text, bool value_only, const OverrideOptions& options) {
  return Lexer(text, options).run(value_only);
}

Token first_value_token(std::string_view text) {
  const OverrideOptions options;
  return Lexer(text, options).first_value_token();
}

std::string located(const Override& override, std::string_view what) {
  constexpr std::size_t kLongest = 200;
  return fmt::format("{}: {}: {}", to_string(override.position), shortened(override.text, kLongest), what);
}

std::string shell_quoted(std::string_view text) {
  const bool plain = !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return is_id_part(c) || std::string_view("=+./:,@%").find(c) != std::string_view::npos;
  });
  if (plain) return std::string(text);
  std::string result = "'";
  for (const char c : text)
    if (c == '\'')
      result += "'\\''";
    else
      result += c;
  return result + "'";
}

void fail_override(std::string_view text, std::size_t offset, const std::string& what, const OverrideOptions& options,
                   bool value_only) {
  constexpr std::size_t kShown = 60;         // bytes on either side of the caret
  constexpr std::size_t kLongestForm = 200;  // a longer override is not written out again
  std::size_t begin = offset > kShown ? offset - kShown : 0;
  std::size_t end = std::min(text.size(), offset + kShown);
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xc0) == 0x80) --begin;
  while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) ++end;
  std::string line = std::string(begin > 0 ? "…" : "") + std::string(text.substr(begin, end - begin));
  if (end < text.size()) line += "…";
  std::replace_if(
      line.begin(), line.end(), [](char c) { return c == '\n' || c == '\t' || c == '\r'; }, ' ');
  const std::size_t caret = code_points(text.substr(begin, offset - begin)) + (begin > 0 ? 1 : 0);
  std::string message = fmt::format("{}:{}:{}: {}\n  {}\n  {}^", options.file, options.number, offset + 1, what, line,
                                    std::string(caret, ' '));
  if (text.size() <= kLongestForm)
    if (const auto form = quoted_form(text, offset, value_only))
      message += fmt::format("\nTo use the value as text, quote it: {}", shell_quoted(*form));
  throw ConfigError(message);
}

OverrideOptions default_override_options() {
  OverrideOptions options;
  const char* lenient = std::getenv("MNEME_LENIENT");
  options.lenient = lenient && std::string_view(lenient) == "1";
  return options;
}

}  // namespace mneme::config
