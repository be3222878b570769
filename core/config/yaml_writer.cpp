#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/config/python_text.h"
#include "core/config/utf8.h"
#include "core/config/yaml.h"
#include "core/config/yaml_scalar.h"

namespace mneme::config {

namespace {
constexpr std::size_t kWidth = 80;              // the column behind which texts are folded
constexpr std::size_t kLongestSimpleKey = 128;  // longer keys are written as "? key"

bool is_break(char32_t c) { return c == '\n' || c == 0x85 || c == 0x2028 || c == 0x2029; }
bool is_blank_or_break(char32_t c) { return c == 0 || c == ' ' || c == '\t' || c == '\r' || is_break(c); }
bool is_in(char32_t c, std::string_view set) { return c < 0x80 && set.find(static_cast<char>(c)) != set.npos; }
bool is_plain_unicode(char32_t c) {
  return (c == 0x85 || (c >= 0xa0 && c <= 0xd7ff) || (c >= 0xe000 && c <= 0xfffd) || (c >= 0x10000 && c < 0x10ffff)) &&
         c != 0xfeff;
}

std::u32string decode(std::string_view text) {
  std::u32string result;
  for (std::size_t i = 0; i < text.size();) {
    const char32_t c = next_code_point(text, i);
    result += c == kInvalidCodePoint ? U'\ufffd' : c;
  }
  return result;
}

// Which styles can hold a text.
struct Analysis {
  bool multiline = false;
  bool plain = true;
  bool single_quoted = true;
};

bool starts_like_indicator(const std::u32string& text) {
  if (text.starts_with(U"---") || text.starts_with(U"...")) return true;
  if (is_in(text[0], "#,[]{}&*!|>'\"%@`")) return true;
  const bool blank_follows = text.size() == 1 || is_blank_or_break(text[1]);
  return is_in(text[0], "?:-") && blank_follows;
}

bool holds_indicator(const std::u32string& text) {
  for (std::size_t i = 1; i < text.size(); ++i) {
    const bool blank_follows = i + 1 >= text.size() || is_blank_or_break(text[i + 1]);
    if (text[i] == ':' && blank_follows) return true;
    if (text[i] == '#' && is_blank_or_break(text[i - 1])) return true;
  }
  return false;
}

Analysis analyze(const std::u32string& text) {
  Analysis result;
  if (text.empty()) return result;
  bool special = false, space_then_break = false, break_then_space = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char32_t c = text[i];
    if (is_break(c)) result.multiline = true;
    if (c != '\n' && !(c >= 0x20 && c <= 0x7e) && !is_plain_unicode(c)) special = true;
    if (i > 0 && c == ' ' && is_break(text[i - 1])) break_then_space = true;
    if (i > 0 && is_break(c) && text[i - 1] == ' ') space_then_break = true;
  }
  const auto outer = [](char32_t c) { return c == ' ' || is_break(c); };
  const bool edges = outer(text.front()) || outer(text.back());
  result.single_quoted = !special && !space_then_break && !break_then_space;
  result.plain =
      result.single_quoted && !edges && !result.multiline && !starts_like_indicator(text) && !holds_indicator(text);
  return result;
}

// y and n are no booleans to the loader, but the dumper quotes them all the same.
bool is_quoted_word(std::string_view text) {
  return text == "y" || text == "Y" || text == "n" || text == "N" || parse_python_int(text) || parse_python_float(text);
}

class Writer {
 public:
  std::string text;

  void document(const Node& node) {
    value(node, -1, false);
    if (column_ > 0) line_break();
  }

 private:
  void put(std::string_view ascii) {
    text += ascii;
    column_ += ascii.size();
  }
  void put(const std::u32string& characters) {
    for (const char32_t c : characters) append_utf8(text, c);
    column_ += characters.size();
  }
  void line_break(char32_t c = '\n') {
    append_utf8(text, c);
    column_ = 0;
    blank_before_ = fresh_line_ = true;
  }
  // Moves to the indentation: on a new line unless only indentation and "-" stand on this one.
  void indent_to(int indent) {
    const auto target = static_cast<std::size_t>(std::max(indent, 0));
    if (!fresh_line_ || column_ > target || (column_ == target && !blank_before_)) line_break();
    if (column_ < target) {
      put(std::string(target - column_, ' '));
      blank_before_ = true;
    }
  }
  void indicator(std::string_view mark, bool needs_blank, bool keeps_line_fresh = false) {
    if (needs_blank && !blank_before_) put(" ");
    put(mark);
    blank_before_ = false;
    fresh_line_ = fresh_line_ && keeps_line_fresh;
  }

  void value(const Node& node, int indent, bool in_map) {
    if (node.is_map() && node.size() > 0) return map(node, indent < 0 ? 0 : indent + 2);
    if (node.is_list() && node.size() > 0)
      return list(node, indent < 0 ? 0 : in_map && !fresh_line_ ? indent : indent + 2);
    if (node.is_container()) return indicator(node.is_map() ? "{}" : "[]", true);
    scalar(node, indent < 0 ? 2 : indent + 2, false);
  }

  void list(const Node& node, int indent) {
    for (const Node& item : node.items()) {
      indent_to(indent);
      indicator("-", true, true);
      value(item, indent, false);
    }
  }

  void map(const Node& node, int indent) {
    for (std::size_t i = 0; i < node.size(); ++i) {
      const auto& [name, item] = node.entries()[i];
      const Node key = key_node(node.key_kind(i), name);
      const std::u32string letters = decode(name);
      indent_to(indent);
      const std::size_t tag = key.is_string() || key.is_int() ? 5 : key.is_float() ? 7 : 6;
      const bool simple = !name.empty() && !analyze(letters).multiline && letters.size() + tag < kLongestSimpleKey;
      if (simple) {
        scalar(key, indent, true);
        indicator(":", false);
      } else {
        indicator("?", true, true);
        scalar(key, indent + 2, false);
        indent_to(indent);
        indicator(":", true, true);
      }
      value(item, indent, true);
    }
  }

  static Node key_node(Kind kind, const std::string& name) {
    if (kind == Kind::kBool) return Node::boolean(name == "true");
    if (kind == Kind::kInt) return Node::integer_digits(name);
    if (kind == Kind::kFloat) return Node::real(parse_python_float(name).value_or(0));
    return kind == Kind::kNull ? Node::null() : Node::string(name);
  }

  void scalar(const Node& node, int indent, bool is_key) {
    if (!node.is_string()) return plain(decode(plain_text(node)), indent, is_key);
    const std::string& raw = node.as_string();
    const std::u32string letters = decode(raw);
    const Analysis analysis = analyze(letters);
    const bool reads_as_text = dumped_type(raw) == ScalarType::kString && !is_quoted_word(raw);
    if (analysis.plain && reads_as_text)
      plain(letters, indent, is_key);
    else if (analysis.single_quoted && !(is_key && analysis.multiline))
      single_quoted(letters, indent, is_key);
    else
      double_quoted(letters, indent, is_key);
  }

  static std::string plain_text(const Node& node) {
    if (node.is_null()) return "null";
    if (node.is_bool()) return node.as_bool() ? "true" : "false";
    if (node.is_int()) return node.int_digits();
    std::string digits = python_float_text(node.as_float());
    if (digits == "inf" || digits == "nan") return "." + digits;
    if (digits == "-inf") return "-.inf";
    if (const auto e = digits.find('e'); e != digits.npos && digits.find('.') == digits.npos) digits.insert(e, ".0");
    return digits;
  }

  void plain(const std::u32string& letters, int indent, bool is_key) {
    if (!blank_before_) put(" ");
    blank_before_ = fresh_line_ = false;
    words(letters, indent, is_key, [](std::size_t, std::size_t) { return true; });
  }

  // Writes runs of blanks and of other characters; a single blank behind column 80 becomes a line break where allowed.
  template <class MayFold>
  void words(const std::u32string& letters, int indent, bool is_key, MayFold&& may_fold) {
    for (std::size_t start = 0; start < letters.size();) {
      const bool blanks = letters[start] == ' ';
      std::size_t end = start;
      while (end < letters.size() && (letters[end] == ' ') == blanks) ++end;
      if (blanks && end == start + 1 && column_ > kWidth && !is_key && may_fold(start, end)) {
        indent_to(indent);
        blank_before_ = fresh_line_ = false;
      } else {
        put(letters.substr(start, end - start));
      }
      start = end;
    }
  }

  void single_quoted(const std::u32string& letters, int indent, bool is_key) {
    indicator("'", true);
    for (std::size_t start = 0; start < letters.size();) {
      const bool breaks = is_break(letters[start]), blanks = letters[start] == ' ', quote = letters[start] == '\'';
      std::size_t end = start + 1;
      const auto same = [&](char32_t c) {
        return breaks ? is_break(c) : blanks ? c == ' ' : !quote && c != ' ' && c != '\'' && !is_break(c);
      };
      while (end < letters.size() && same(letters[end])) ++end;
      if (breaks) {
        if (letters[start] == '\n') line_break();
        for (std::size_t i = start; i < end; ++i) line_break(letters[i]);
        indent_to(indent);
      } else if (blanks && end == start + 1 && column_ > kWidth && !is_key && start != 0 && end != letters.size()) {
        indent_to(indent);
      } else {
        put(quote ? U"''" : letters.substr(start, end - start));
      }
      start = end;
    }
    indicator("'", false);
  }

  static bool needs_escape(char32_t c) {
    return c == '"' || c == '\\' || c == 0x85 || c == 0x2028 || c == 0x2029 || c == 0xfeff ||
           !((c >= 0x20 && c <= 0x7e) || (c >= 0xa0 && c <= 0xd7ff) || (c >= 0xe000 && c <= 0xfffd));
  }
  static std::string escape(char32_t c) {
    constexpr std::pair<char32_t, char> kShort[] = {
        {0, '0'},    {7, 'a'},   {8, 'b'},     {9, 't'},    {10, 'n'},   {11, 'v'},     {12, 'f'},    {13, 'r'},
        {0x1b, 'e'}, {'"', '"'}, {'\\', '\\'}, {0x85, 'N'}, {0xa0, '_'}, {0x2028, 'L'}, {0x2029, 'P'}};
    for (const auto& [code, letter] : kShort)
      if (code == c) return {'\\', letter};
    const auto number = static_cast<unsigned>(c);
    return c <= 0xff     ? fmt::format("\\x{:02X}", number)
           : c <= 0xffff ? fmt::format("\\u{:04X}", number)
                         : fmt::format("\\U{:08X}", number);
  }

  void double_quoted(const std::u32string& letters, int indent, bool is_key) {
    indicator("\"", true);
    std::size_t start = 0;  // of what is not yet written
    for (std::size_t end = 0; end <= letters.size(); ++end) {
      const bool at_end = end == letters.size();
      if (at_end || needs_escape(letters[end])) {
        put(letters.substr(start, end - start));
        start = end;
        if (!at_end) put(escape(letters[end])), start = end + 1;
      }
      const bool inside = end > 0 && end + 1 < letters.size();
      if (!inside || is_key || !(letters[end] == ' ' || start >= end)) continue;
      const std::size_t pending = end > start ? end - start : 0;
      // PyYAML's width check counts a just written escape as minus one character.
      if (static_cast<std::ptrdiff_t>(column_) + static_cast<std::ptrdiff_t>(end) -
              static_cast<std::ptrdiff_t>(start) <=
          static_cast<std::ptrdiff_t>(kWidth))
        continue;
      put(letters.substr(start, pending));
      put("\\");
      if (start < end) start = end;
      indent_to(indent);
      blank_before_ = fresh_line_ = false;
      if (letters[start] == ' ') put("\\");
    }
    indicator("\"", false);
  }

  std::size_t column_ = 0;
  bool blank_before_ = true;  // nothing or a blank stands before: no separating blank is needed
  bool fresh_line_ = true;    // only indentation and indicators stand on this line
};
}  // namespace

std::string dump_yaml(const Node& node) {
  Writer writer;
  writer.document(node);
  return std::move(writer.text);
}

}  // namespace mneme::config
