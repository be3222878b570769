#include "core/config/yaml_scanner.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/config/utf8.h"

namespace mneme::config {

namespace {
constexpr std::size_t kLongestSimpleKey = 1024;
constexpr std::size_t kMostFlowLevels = 200;

using Type = YamlToken::Type;

bool is_break(char32_t c) { return c == '\n' || c == '\r' || c == 0x85 || c == 0x2028 || c == 0x2029; }
bool is_break_or_end(char32_t c) { return c == 0 || is_break(c); }
bool is_blank_or_end(char32_t c) { return c == ' ' || c == '\t' || is_break_or_end(c); }
bool is_space_or_end(char32_t c) { return c == ' ' || is_break_or_end(c); }
bool is_name(char32_t c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '_';
}
bool is_one_of(char32_t c, std::string_view set) { return c != 0 && c < 0x80 && set.find(static_cast<char>(c)) != set.npos; }
int hex_value(char32_t c) {
  if (c >= '0' && c <= '9') return static_cast<int>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<int>(c - 'a') + 10;
  return c >= 'A' && c <= 'F' ? static_cast<int>(c - 'A') + 10 : -1;
}

class Scanner {
 public:
  Scanner(std::string_view text, const std::string& name) : name_(name) {
    for (std::size_t i = 0; i < text.size();) text_ += next_code_point(text, i);
    keys_.resize(1);
  }

  std::vector<YamlToken> run() {
    if (peek() == 0xfeff) forward();
    while (!done_) fetch();
    return std::move(tokens_);
  }

 private:
  // A token that becomes a key if ':' follows on the same line.
  struct SimpleKey {
    std::size_t token = 0;
    bool required = false;  // nothing else can stand there
    std::size_t index = 0;
    YamlMark mark;
  };

  char32_t peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : 0; }
  void forward(std::size_t count = 1) {
    for (; count > 0 && at_ < text_.size(); --count) {
      const char32_t c = text_[at_++];
      if (c == '\n' || c == 0x85 || c == 0x2028 || c == 0x2029 || (c == '\r' && peek() != '\n'))
        ++mark_.line, mark_.column = 1;
      else if (c != 0xfeff)
        ++mark_.column;
    }
  }
  int column() const { return mark_.column - 1; }

  [[noreturn]] void fail(const YamlMark& mark, const std::string& what) const {
    throw ConfigError(fmt::format("{}:{}:{}: {}", name_, mark.line, mark.column, what));
  }
  [[noreturn]] void fail(const std::string& what) const { fail(mark_, what); }
  std::string shown(char32_t c) const {
    if (c == 0) return "the end of the text";
    if (c == '\t') return "a tab";
    if (is_break(c)) return "the end of the line";
    std::string text;
    append_utf8(text, c);
    return "'" + text + "'";
  }

  YamlToken& add(Type type) { return add(type, mark_); }
  YamlToken& add(Type type, const YamlMark& mark) {
    tokens_.push_back({type, "", "", false, mark});
    return tokens_.back();
  }
  void append(std::string& text, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) append_utf8(text, peek(i));
    forward(count);
  }
  bool at_document_mark(std::string_view mark) const {
    return peek(0) == static_cast<char32_t>(mark[0]) && peek(1) == peek(0) && peek(2) == peek(0) && is_blank_or_end(peek(3));
  }
  bool at_separator() const { return at_document_mark("---") || at_document_mark("..."); }

  // Consumes a line break, if one is here, and gives what it stands for: "\n" or itself.
  std::string line_break() {
    const char32_t c = peek();
    if (!is_break(c)) return "";
    const bool two = c == '\r' && peek(1) == '\n';
    forward(two ? 2 : 1);
    if (c != 0x2028 && c != 0x2029) return "\n";
    std::string text;
    append_utf8(text, c);
    return text;
  }
  void skip_comment() {
    if (peek() == '#')
      while (!is_break_or_end(peek())) forward();
  }
  void skip_spaces() {
    while (peek() == ' ') forward();
  }

  void to_next_token() {
    for (;;) {
      skip_spaces();
      skip_comment();
      if (line_break().empty()) return;
      if (flow_level() == 0) simple_key_allowed_ = true;
    }
  }

  std::size_t flow_level() const { return keys_.size() - 1; }

  void drop_stale_keys() {
    for (auto& key : keys_) {
      if (!key || (key->mark.line == mark_.line && at_ - key->index <= kLongestSimpleKey)) continue;
      if (key->required) fail(key->mark, "':' is missing behind a key");
      key.reset();
    }
  }
  void save_key() {
    if (!simple_key_allowed_) return;
    drop_key();
    keys_.back() = SimpleKey{tokens_.size(), flow_level() == 0 && indent_ == column(), at_, mark_};
  }
  void drop_key() {
    if (keys_.back() && keys_.back()->required) fail(keys_.back()->mark, "':' is missing behind a key");
    keys_.back().reset();
  }

  void unwind(int column) {
    if (flow_level() > 0) return;
    while (indent_ > column) {
      indent_ = indents_.back();
      indents_.pop_back();
      add(Type::kBlockEnd);
    }
  }
  bool deepen(int column) {
    if (indent_ >= column) return false;
    indents_.push_back(indent_);
    indent_ = column;
    return true;
  }

  void fetch() {
    to_next_token();
    drop_stale_keys();
    unwind(column());
    const char32_t c = peek();
    const bool in_flow = flow_level() > 0;
    if (c == 0) return stream_end();
    if (column() == 0) {
      if (c == '%') return directive();
      if (at_document_mark("---")) return document_mark(Type::kDocumentStart);
      if (at_document_mark("...")) return document_mark(Type::kDocumentEnd);
    }
    if (c == '[') return flow_start(Type::kFlowListStart);
    if (c == '{') return flow_start(Type::kFlowMapStart);
    if (c == ']') return flow_end(Type::kFlowListEnd);
    if (c == '}') return flow_end(Type::kFlowMapEnd);
    if (c == ',') return flow_entry();
    if (c == '-' && is_blank_or_end(peek(1))) return block_entry();
    if (c == '?' && (in_flow || is_blank_or_end(peek(1)))) return key_mark();
    if (c == ':' && (in_flow || is_blank_or_end(peek(1)))) return value_mark();
    if (c == '*') return anchor(Type::kAlias);
    if (c == '&') return anchor(Type::kAnchor);
    if (c == '!') return tag();
    if ((c == '|' || c == '>') && !in_flow) return block_scalar(c == '>');
    if (c == '\'' || c == '"') return quoted_scalar(c);
    if (starts_plain(c)) return plain_scalar();
    if (c == '\t') fail("a tab stands between tokens; YAML wants blanks");
    fail(fmt::format("{} cannot start a value; quote the text", shown(c)));
  }

  bool starts_plain(char32_t c) const {
    if (!is_blank_or_end(c) && !is_one_of(c, "-?:,[]{}#&*!|>'\"%@`")) return true;
    return !is_blank_or_end(peek(1)) && (c == '-' || (flow_level() == 0 && (c == '?' || c == ':')));
  }

  void stream_end() {
    unwind(-1);
    drop_key();
    add(Type::kStreamEnd);
    done_ = true;
  }

  void document_mark(Type type) {
    unwind(-1);
    drop_key();
    simple_key_allowed_ = false;
    add(type);
    forward(3);
  }

  void flow_start(Type type) {
    save_key();
    add(type);
    keys_.emplace_back();
    if (flow_level() > kMostFlowLevels) fail(fmt::format("more than {} levels of nesting", kMostFlowLevels));
    simple_key_allowed_ = true;
    forward();
  }

  void flow_end(Type type) {
    drop_key();
    if (flow_level() == 0) fail(fmt::format("{} closes nothing", shown(peek())));
    keys_.pop_back();
    simple_key_allowed_ = false;
    add(type);
    forward();
  }

  void flow_entry() {
    simple_key_allowed_ = true;
    drop_key();
    add(Type::kFlowEntry);
    forward();
  }

  void block_entry() {
    if (flow_level() == 0) {
      if (!simple_key_allowed_) fail("'- ' cannot stand here; begin the list on its own line");
      if (deepen(column())) add(Type::kBlockListStart);
    }
    simple_key_allowed_ = true;
    drop_key();
    add(Type::kEntry);
    forward();
  }

  void key_mark() {
    if (flow_level() == 0) {
      if (!simple_key_allowed_) fail("'? ' cannot stand here");
      if (deepen(column())) add(Type::kBlockMapStart);
    }
    simple_key_allowed_ = flow_level() == 0;
    drop_key();
    add(Type::kKey);
    forward();
  }

  void value_mark() {
    if (keys_.back()) {
      const SimpleKey key = *keys_.back();
      keys_.back().reset();
      const auto place = tokens_.begin() + static_cast<std::ptrdiff_t>(key.token);
      const auto inserted = tokens_.insert(place, YamlToken{Type::kKey, "", "", false, key.mark});
      if (flow_level() == 0 && deepen(key.mark.column - 1))
        tokens_.insert(inserted, YamlToken{Type::kBlockMapStart, "", "", false, key.mark});
      simple_key_allowed_ = false;
    } else {
      if (flow_level() == 0) {
        if (!simple_key_allowed_) fail("': ' cannot stand here: a value on this line has a key already; quote the text");
        if (deepen(column())) add(Type::kBlockMapStart);
      }
      simple_key_allowed_ = flow_level() == 0;
      drop_key();
    }
    add(Type::kValue);
    forward();
  }

  void anchor(Type type) {
    save_key();
    simple_key_allowed_ = false;
    YamlToken& token = add(type);
    forward();
    while (is_name(peek())) append(token.text, 1);
    if (token.text.empty()) fail(fmt::format("a name is missing behind '{}'", type == Type::kAlias ? '*' : '&'));
    if (!is_blank_or_end(peek()) && !is_one_of(peek(), "?:,]}%@`"))
      fail(fmt::format("{} cannot stand in the name of an anchor", shown(peek())));
  }

  void directive();
  void tag();
  std::string tag_handle();
  std::string tag_uri();
  void block_scalar(bool folded);
  std::pair<char32_t, int> block_indicators();
  std::string block_breaks(int indent);
  void quoted_scalar(char32_t quote);
  void quoted_text(char32_t quote, std::string& text, const YamlMark& start);
  void escape(std::string& text);
  void quoted_blanks(std::string& text, const YamlMark& start);
  std::string quoted_breaks(const YamlMark& start);
  void plain_scalar();
  std::optional<std::string> plain_blanks();

  const std::string& name_;
  std::u32string text_;
  std::size_t at_ = 0;
  YamlMark mark_;
  std::vector<YamlToken> tokens_;
  std::vector<std::optional<SimpleKey>> keys_;  // one per flow level, and one for the block level
  std::vector<int> indents_;
  int indent_ = -1;
  bool simple_key_allowed_ = true;
  bool done_ = false;
};

void Scanner::directive() {
  unwind(-1);
  drop_key();
  simple_key_allowed_ = false;
  YamlToken& token = add(Type::kDirective);
  forward();
  while (is_name(peek())) append(token.text, 1);
  if (token.text.empty() || !is_space_or_end(peek())) fail("a directive is '%NAME values'");
  skip_spaces();
  while (!is_break_or_end(peek()) && peek() != '#') append(token.handle, 1);
  skip_comment();
  line_break();
}

std::string Scanner::tag_handle() {
  std::string handle;
  append(handle, 1);  // '!'
  while (is_name(peek())) append(handle, 1);
  if (peek() != '!') fail(fmt::format("'!' is missing in a tag, found {}", shown(peek())));
  append(handle, 1);
  return handle;
}

std::string Scanner::tag_uri() {
  std::string uri;
  while (is_name(peek()) || is_one_of(peek(), ";/?:@&=+$,.!~*'()[]%")) append(uri, 1);
  if (uri.empty()) fail(fmt::format("a tag has no name, found {}", shown(peek())));
  return uri;
}

void Scanner::tag() {
  save_key();
  simple_key_allowed_ = false;
  YamlToken token{Type::kTag, "", "", false, mark_};
  if (peek(1) == '<') {
    forward(2);
    token.text = tag_uri();
    if (peek() != '>') fail("'>' is missing behind a tag");
    forward();
  } else if (is_blank_or_end(peek(1))) {
    token.text = "!";
    forward();
  } else {
    std::size_t ahead = 1;
    while (!is_space_or_end(peek(ahead)) && peek(ahead) != '!') ++ahead;
    if (peek(ahead) == '!') {
      token.handle = tag_handle();
    } else {
      token.handle = "!";
      forward();
    }
    token.text = tag_uri();
  }
  if (!is_space_or_end(peek())) fail(fmt::format("a blank is missing behind a tag, found {}", shown(peek())));
  tokens_.push_back(std::move(token));
}

// The chomping sign (0 if none) and the indentation (0 if none) behind '|' or '>'.
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
  constexpr std::pair<char32_t, char32_t> kCodes[] = {
      {'0', 0},    {'a', 7},   {'b', 8},     {'t', 9},    {'\t', 9},  {'n', 10},     {'v', 11},    {'f', 12}, {'r', 13},
      {'e', 0x1b}, {' ', ' '}, {'"', '"'}, {'\\', '\\'}, {'/', '/'}, {'N', 0x85}, {'_', 0xa0}, {'L', 0x2028}, {'P', 0x2029}};
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
    if (hex_value(peek(i)) < 0) fail(fmt::format("{} hexadecimal digits are expected, found {}", digits, shown(peek(i))));
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
}  // namespace

std::vector<YamlToken> scan_yaml(std::string_view text, const std::string& name) { return Scanner(text, name).run(); }

}  // namespace mneme::config
