#pragma once

#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/config/utf8.h"
#include "core/config/yaml_scanner.h"

namespace mneme::config::yaml {

inline bool is_break(char32_t c) { return c == '\n' || c == '\r' || c == 0x85 || c == 0x2028 || c == 0x2029; }
inline bool is_break_or_end(char32_t c) { return c == 0 || is_break(c); }
inline bool is_blank_or_end(char32_t c) { return c == ' ' || c == '\t' || is_break_or_end(c); }
inline bool is_space_or_end(char32_t c) { return c == ' ' || is_break_or_end(c); }
inline bool is_name(char32_t c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '_';
}
inline bool is_one_of(char32_t c, std::string_view set) {
  return c != 0 && c < 0x80 && set.find(static_cast<char>(c)) != set.npos;
}
inline int hex_value(char32_t c) {
  if (c >= '0' && c <= '9') return static_cast<int>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<int>(c - 'a') + 10;
  return c >= 'A' && c <= 'F' ? static_cast<int>(c - 'A') + 10 : -1;
}

using Type = YamlToken::Type;
constexpr std::size_t kLongestSimpleKey = 1024;
constexpr std::size_t kMostFlowLevels = 200;

/// The work behind scan_yaml(): the state of a scan and one function per kind of token.
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
    return peek(0) == static_cast<char32_t>(mark[0]) && peek(1) == peek(0) && peek(2) == peek(0) &&
           is_blank_or_end(peek(3));
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

  void fetch();
  bool starts_plain(char32_t c) const;
  void stream_end();
  void document_mark(Type type);
  void flow_start(Type type);
  void flow_end(Type type);
  void flow_entry();
  void block_entry();
  void key_mark();
  void value_mark();
  void anchor(Type type);
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

}  // namespace mneme::config::yaml
