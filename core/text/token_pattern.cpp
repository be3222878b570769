#include "core/text/token_pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <optional>

#include "core/base/error.h"
#include "core/base/unicode.h"
#include "core/text/json_fields.h"
#include "core/text/unicode_data.h"

namespace mneme::text {

namespace {
struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeMatch {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct FreeContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};
struct FreeStack {
  void operator()(pcre2_jit_stack* stack) const { pcre2_jit_stack_free(stack); }
};

constexpr std::size_t kStackBytes = 32 * 1024, kMostStackBytes = 16 * 1024 * 1024;

PCRE2_SPTR as_pcre2(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

std::string message_of(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

std::size_t next_character(std::string_view text, std::size_t i) {
  do ++i;
  while (i < text.size() && is_continuation(text[i]));
  return i;
}
}  // namespace

struct TokenPattern::Compiled {
  std::string literal;  ///< used when there is no code
  std::unique_ptr<pcre2_code, FreeCode> code;
};

TokenPattern::TokenPattern(std::unique_ptr<const Compiled> compiled) : compiled_(std::move(compiled)) {}
TokenPattern::TokenPattern(TokenPattern&&) noexcept = default;
TokenPattern& TokenPattern::operator=(TokenPattern&&) noexcept = default;
TokenPattern::~TokenPattern() = default;

TokenPattern TokenPattern::regex(std::string_view oniguruma, const std::string& where) {
  return compile(translate_pattern(oniguruma, where), where, oniguruma);
}

TokenPattern TokenPattern::graphemes() {
  const std::string newer = newer_mark_ranges();
  return compile(fmt::format("\\r\\n|[\\p{{Cc}}\\p{{Zl}}\\p{{Zp}}]|\\X(?:[{}]\\p{{M}}*)*", newer), "graphemes", "\\X");
}

TokenPattern TokenPattern::compile(std::string_view pcre2, const std::string& where, std::string_view shown) {
  int code = 0;
  PCRE2_SIZE offset = 0;
  auto compiled = std::make_unique<Compiled>();
  compiled->code.reset(pcre2_compile(as_pcre2(pcre2), pcre2.size(), PCRE2_UTF | PCRE2_UCP, &code, &offset, nullptr));
  if (compiled->code == nullptr)
    throw DataError(fmt::format("{}: the pattern '{}' does not compile: {}", where, shown, message_of(code)));
  pcre2_jit_compile(compiled->code.get(), PCRE2_JIT_COMPLETE);  // without it matching is slower, not different
  return TokenPattern(std::move(compiled));
}

TokenPattern TokenPattern::literal(std::string text) {
  auto compiled = std::make_unique<Compiled>();
  compiled->literal = std::move(text);
  return TokenPattern(std::move(compiled));
}

void TokenPattern::for_each(std::string_view utf8, const Found& found) const {
  const Compiled& compiled = *compiled_;
  if (compiled.code == nullptr) {
    if (compiled.literal.empty()) return;
    for (std::size_t i = utf8.find(compiled.literal); i != utf8.npos;) {
      found(i, i + compiled.literal.size());
      i = utf8.find(compiled.literal, i + compiled.literal.size());
    }
    return;
  }
  const std::unique_ptr<pcre2_match_data, FreeMatch> data(pcre2_match_data_create(1, nullptr));
  const std::unique_ptr<pcre2_match_context, FreeContext> context(pcre2_match_context_create(nullptr));
  std::unique_ptr<pcre2_jit_stack, FreeStack> stack;
  std::optional<std::size_t> last_end;
  for (std::size_t at = 0; at <= utf8.size();) {
    int rc = pcre2_match(compiled.code.get(), as_pcre2(utf8), utf8.size(), at, PCRE2_NO_UTF_CHECK, data.get(),
                         context.get());
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT && stack == nullptr) {
      stack.reset(pcre2_jit_stack_create(kStackBytes, kMostStackBytes, nullptr));
      pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
      continue;
    }
    if (rc == PCRE2_ERROR_NOMATCH) return;
    if (rc < 0) throw DataError(fmt::format("splitting a text by the tokenizer's pattern failed: {}", message_of(rc)));
    const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(data.get());
    if (ends[0] == ends[1] && last_end == ends[1]) {  // an empty match right behind a match is none
      at = next_character(utf8, ends[1]);
      continue;
    }
    found(ends[0], ends[1]);
    last_end = ends[1];
    at = ends[1] > ends[0] ? ends[1] : next_character(utf8, ends[1]);
  }
}

namespace {
/// Walks an Oniguruma pattern and writes the PCRE2 one.
class Translator {
 public:
  Translator(std::string_view pattern, const std::string& where) : in_(pattern), where_(where) {}

  std::string run() {
    while (more()) item();
    return std::move(out_);
  }

 private:
  bool more(std::size_t ahead = 0) const { return at_ + ahead < in_.size(); }
  bool follows(std::string_view text) const { return in_.substr(at_).starts_with(text); }
  [[noreturn]] void refuse(std::string_view construct) const {
    throw DataError(fmt::format("{}: the pattern '{}' holds {}, which is not supported", where_, in_, construct));
  }

  void item() {
    const char c = in_[at_];
    if (c == '\\') return escape(false);
    if (c == '[') return character_class();
    if (c == '(') return group();
    if (c == '{') return braces();
    ++at_;
    if (c == '^') {
      out_ += "(?m:^)";
    } else if (c == '$') {
      out_ += "(?m:$)";
    } else {
      out_ += c;
    }
  }

  void group() {
    if (follows("(?")) {
      for (const std::string_view known : {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?i)", "(?-i:"}) {
        if (!follows(known)) continue;
        out_ += known;
        at_ += known.size();
        return;
      }
      refuse(fmt::format("'{}'", in_.substr(at_, 4)));
    }
    if (follows("(*")) refuse("'(*'");
    out_ += "(?:";  // nothing refers to groups: back references are refused
    ++at_;
  }

  /// {n}, {n,}, {n,m}, {,m}. Oniguruma reads a + behind it as one more repetition, and a ? behind {n} as well.
  void braces() {
    const std::size_t end = in_.find('}', at_);
    const std::string_view inner = end == in_.npos ? "" : in_.substr(at_ + 1, end - at_ - 1);
    if (inner.empty() || inner == "," || inner.find_first_not_of("0123456789,") != inner.npos)
      refuse("a '{' that is no repetition; write '\\{'");
    out_ += inner[0] == ',' ? fmt::format("{{0{}}}", inner) : fmt::format("{{{}}}", inner);
    at_ = end + 1;
    if (follows("+") || (follows("?") && inner.find(',') == inner.npos)) refuse("a + or ? behind a '{n}'");
  }

  void character_class() {
    ++at_;
    out_ += '[';
    if (follows("^")) {
      out_ += '^';
      ++at_;
    }
    if (follows("]")) refuse("an empty '[]'");
    while (more() && in_[at_] != ']') {
      if (in_[at_] == '[') refuse("a '[' within a class");
      if (follows("&&")) refuse("'&&'");
      if (in_[at_] == '\\') {
        escape(true);
      } else {
        out_ += in_[at_++];
      }
    }
    if (!more()) refuse("a '[' without its ']'");
    out_ += ']';
    ++at_;
  }

  /// An escape; within a class it must stand for a set of characters.
  void escape(bool in_class) {
    if (!more(1)) refuse("a '\\' at its end");
    const char c = in_[at_ + 1];
    at_ += 2;
    if (c == 'p' || c == 'P') return property(c == 'P', in_class);
    if (c == 'u') return code_point(4);
    if (c == 'x') return follows("{") ? braced_code_point() : code_point(2);
    if (const auto set = property_class(c)) return emit_class(*set, false, in_class);
    if (c == 'S' || c == 'D' || c == 'W') return negated_shorthand(c, in_class);
    if (const std::size_t control = std::string_view("rntfvae").find(c); control != std::string_view::npos) {
      out_ += fmt::format("\\x{{{:x}}}", "\r\n\t\f\v\a\x1b"[control]);
    } else if (!in_class && (c == 'A' || c == 'z')) {
      out_ += fmt::format("\\{}", c);
    } else if (static_cast<unsigned char>(c) < 0x80 && std::isalnum(static_cast<unsigned char>(c)) == 0) {
      out_ += fmt::format("\\{}", c);
    } else {
      refuse(fmt::format("'\\{}'", c));
    }
  }

  static std::optional<std::string> property_class(char shorthand) {
    if (shorthand == 's') return "\\p{White_Space}";
    if (shorthand == 'd') return pcre2_property("Nd");
    if (shorthand == 'w') return word_ranges();
    return std::nullopt;
  }

  void negated_shorthand(char c, bool in_class) {
    if (c == 'S') {  // the one set that PCRE2 has exactly, so that its complement can stand in a class
      out_ += "\\P{White_Space}";
      return;
    }
    emit_class(*property_class(static_cast<char>(c + 'a' - 'A')), true, in_class);
  }

  void property(bool negated, bool in_class) {
    const std::size_t end = in_.find('}', at_);
    if (!follows("{") || end == in_.npos) refuse("a '\\p' without '{...}'");
    std::string name(in_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    if (name.starts_with('^')) {
      negated = !negated;
      name.erase(0, 1);
    }
    const auto set = pcre2_property(name);
    if (!set) refuse(fmt::format("the property '{}'", name));
    emit_class(*set, negated, in_class);
  }

  void emit_class(const std::string& set, bool negated, bool in_class) {
    if (in_class && negated) refuse("a negated property within a class");
    out_ += in_class ? set : fmt::format("[{}{}]", negated ? "^" : "", set);
  }

  void code_point(std::size_t digits) {
    const std::string_view text = in_.substr(at_, digits);
    if (text.size() < digits || text.find_first_not_of("0123456789abcdefABCDEF") != text.npos)
      refuse("a code point without its digits");
    if (digits == 2 && text[0] > '7') refuse("a single byte above 7F");
    out_ += fmt::format("\\x{{{}}}", text);
    at_ += digits;
  }

  void braced_code_point() {
    const std::size_t end = in_.find('}', at_);
    const std::string_view text = end == in_.npos ? "" : in_.substr(at_ + 1, end - at_ - 1);
    if (text.empty() || text.size() > 6 || text.find_first_not_of("0123456789abcdefABCDEF") != text.npos)
      refuse("a code point without its digits");
    out_ += fmt::format("\\x{{{}}}", text);
    at_ = end + 1;
  }

  std::string_view in_;
  const std::string& where_;
  std::size_t at_ = 0;
  std::string out_;
};
}  // namespace

TokenPattern make_pattern(const Json& value, const std::string& where) {
  JsonFields fields(value, where);
  const bool is_regex = fields.find("Regex") != nullptr;
  const std::string text = is_regex ? fields.text("Regex") : fields.text("String");
  fields.finish();
  return is_regex ? TokenPattern::regex(text, where) : TokenPattern::literal(text);
}

std::string translate_pattern(std::string_view oniguruma, const std::string& where) {
  return Translator(oniguruma, where).run();
}

}  // namespace mneme::text
