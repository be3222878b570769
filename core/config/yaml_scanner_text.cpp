#include <algorithm>

#include "core/config/yaml_scanner_state.h"

namespace mneme::config::yaml {

std::pair<char32_t, int> Scanner::block_indicators() {
  char32_t chomping = 0;
  int increment = 0;
  for (int i = 0; i < 2; ++i) {
    const char32_t c = peek();
    if ((c == '+' || c == '-') && chomping == 0) {
      chomping = c;
      forward();
    } else if (c >= '0' && c <= '9' && increment == 0) {
      increment = static_cast<int>(c - '0');
      if (increment == 0) fail("the indentation of a block of text is 1 to 9");
      forward();
    }
  }
  if (!is_space_or_end(peek())) fail(fmt::format("unexpected {} behind '|' or '>'", shown(peek())));
  skip_spaces();
  skip_comment();
  if (!is_break_or_end(peek())) fail(fmt::format("unexpected {} behind '|' or '>'", shown(peek())));
  line_break();
  return {chomping, increment};
}

std::string Scanner::block_breaks(int indent) {
  std::string breaks;
  for (;;) {
    while (column() < indent && peek() == ' ') forward();
    const std::string one = line_break();
    if (one.empty()) return breaks;
    breaks += one;
  }
}

void Scanner::block_scalar(bool folded) {
  simple_key_allowed_ = true;
  drop_key();
  const YamlMark start = mark_;
  forward();
  const auto [chomping, increment] = block_indicators();
  const int least = std::max(indent_ + 1, 1);
  int indent = least + increment - 1;
  std::string breaks;
  if (increment > 0) {
    breaks = block_breaks(indent);
  } else {
    int deepest = 0;
    while (peek() == ' ' || is_break(peek())) {
      if (peek() == ' ')
        forward(), deepest = std::max(deepest, column());
      else
        breaks += line_break();
    }
    indent = std::max(least, deepest);
  }
  std::string text, last_break;
  while (column() == indent && peek() != 0) {
    text += breaks;
    const bool starts_with_blank = peek() == ' ' || peek() == '\t';
    while (!is_break_or_end(peek())) append(text, 1);
    last_break = line_break();
    breaks = block_breaks(indent);
    if (column() != indent || peek() == 0) break;
    const bool blank_follows = peek() == ' ' || peek() == '\t';
    if (!folded || last_break != "\n" || starts_with_blank || blank_follows)
      text += last_break;
    else if (breaks.empty())
      text += ' ';
  }
  if (chomping != '-') text += last_break;
  if (chomping == '+') text += breaks;
  add(Type::kScalar, start).text = std::move(text);
}

void Scanner::quoted_scalar(char32_t quote) {
  save_key();
  simple_key_allowed_ = false;
  const YamlMark start = mark_;
  forward();
  std::string text;
  quoted_text(quote, text, start);
  while (peek() != quote) {
    quoted_blanks(text, start);
    quoted_text(quote, text, start);
  }
  forward();
  add(Type::kScalar, start).text = std::move(text);
}

// Up to a blank, a line break or the closing quote.
void Scanner::quoted_text(char32_t quote, std::string& text, const YamlMark& start) {
  for (;;) {
    const char32_t c = peek();
    if (is_blank_or_end(c)) return;
    if (c == quote) {
      if (quote != '\'' || peek(1) != '\'') return;
      text += '\'';
      forward(2);
    } else if (c == '\\' && quote == '"') {
      forward();
      if (is_break(peek())) {
        line_break();
        text += quoted_breaks(start);
      } else {
        escape(text);
      }
    } else {
      append(text, 1);
    }
  }
}

void Scanner::escape(std::string& text) {
  constexpr std::pair<char32_t, char32_t> kCodes[] = {{'0', 0},    {'a', 7},      {'b', 8},     {'t', 9},   {'\t', 9},
                                                      {'n', 10},   {'v', 11},     {'f', 12},    {'r', 13},  {'e', 0x1b},
                                                      {' ', ' '},  {'"', '"'},    {'\\', '\\'}, {'/', '/'}, {'N', 0x85},
                                                      {'_', 0xa0}, {'L', 0x2028}, {'P', 0x2029}};
  const char32_t c = peek();
  for (const auto& [letter, code] : kCodes)
    if (letter == c) {
      append_utf8(text, code);
      return forward();
    }
  const std::size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
  if (digits == 0) fail(fmt::format("unknown escape: {} behind a backslash; in double quotes write \\\\", shown(c)));
  char32_t code = 0;
  for (std::size_t i = 1; i <= digits; ++i) {
    if (hex_value(peek(i)) < 0)
      fail(fmt::format("{} hexadecimal digits are expected, found {}", digits, shown(peek(i))));
    code = code * 16 + static_cast<char32_t>(hex_value(peek(i)));
  }
  if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) fail("the escape names no character");
  append_utf8(text, code);
  forward(1 + digits);
}

// Blanks inside of quotes; a line break folds into one blank, further ones stay.
void Scanner::quoted_blanks(std::string& text, const YamlMark& start) {
  std::string blanks;
  while (peek() == ' ' || peek() == '\t') append(blanks, 1);
  if (peek() == 0) fail(start, "the quote is not closed");
  if (!is_break(peek())) {
    text += blanks;
    return;
  }
  const std::string first = line_break();
  const std::string breaks = quoted_breaks(start);
  if (first != "\n")
    text += first;
  else if (breaks.empty())
    text += ' ';
  text += breaks;
}

std::string Scanner::quoted_breaks(const YamlMark& start) {
  std::string breaks;
  for (;;) {
    if (at_separator()) fail(start, "the quote is not closed before the end of the document");
    while (peek() == ' ' || peek() == '\t') forward();
    const std::string one = line_break();
    if (one.empty()) return breaks;
    breaks += one;
  }
}

void Scanner::plain_scalar() {
  save_key();
  simple_key_allowed_ = false;
  YamlToken token{Type::kScalar, "", "", true, mark_};
  const int indent = indent_ + 1;
  const bool in_flow = flow_level() > 0;
  std::string blanks;
  while (peek() != '#') {
    std::size_t length = 0;
    for (;; ++length) {
      const char32_t c = peek(length), next = peek(length + 1);
      if (is_blank_or_end(c)) break;
      if (c == ':' && (is_blank_or_end(next) || (in_flow && is_one_of(next, ",[]{}")))) break;
      if (in_flow && is_one_of(c, ",?[]{}")) break;
    }
    if (length == 0) break;
    simple_key_allowed_ = false;
    token.text += blanks;
    append(token.text, length);
    const std::optional<std::string> between = plain_blanks();
    if (!between || between->empty() || peek() == '#' || (!in_flow && column() < indent)) break;
    blanks = *between;
  }
  tokens_.push_back(std::move(token));
}

// Blanks and line breaks behind a word of a plain scalar; nothing where the document ends.
std::optional<std::string> Scanner::plain_blanks() {
  std::string blanks;
  while (peek() == ' ') append(blanks, 1);
  if (!is_break(peek())) return blanks;
  const std::string first = line_break();
  simple_key_allowed_ = true;
  if (at_separator()) return std::nullopt;
  std::string breaks;
  while (peek() == ' ' || is_break(peek())) {
    if (peek() == ' ') {
      forward();
      continue;
    }
    breaks += line_break();
    if (at_separator()) return std::nullopt;
  }
  if (first != "\n") return first + breaks;
  return breaks.empty() ? " " : breaks;
}
}  // namespace mneme::config::yaml
