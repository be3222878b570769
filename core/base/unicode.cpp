#include "core/base/unicode.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <memory>

#include "core/base/error.h"

namespace mneme {

namespace {
struct CodePoint {
  char32_t value;
  std::size_t length;  ///< bytes; 0 when invalid
};

/// The code point at the start of a non-empty text.
CodePoint first_code_point(std::string_view bytes) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || bytes.size() < length) return {0xFFFD, 0};
  char32_t value = lead & (0x7Fu >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {0xFFFD, 0};
    value = (value << 6) | (byte(i) & 0x3F);
  }
  const bool overlong = (length == 3 && value < 0x800) || (length == 4 && value < 0x10000);
  const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
  if (overlong || surrogate || value > 0x10FFFF) return {0xFFFD, 0};
  return {value, length};
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeMatch {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
using Code = std::unique_ptr<pcre2_code, FreeCode>;
using MatchData = std::unique_ptr<pcre2_match_data, FreeMatch>;

PCRE2_SPTR as_pcre2(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

Code compile(std::string_view pattern) {
  int code = 0;
  PCRE2_SIZE offset = 0;
  Code compiled(pcre2_compile(as_pcre2(pattern), pattern.size(), PCRE2_UTF | PCRE2_UCP, &code, &offset, nullptr));
  MNEME_CHECK(compiled != nullptr, "internal: pattern '{}' does not compile at {}: code {}", pattern, offset, code);
  return compiled;
}

std::string lower_by_pcre2(const std::string& text) {
  static const Code letters = compile("\\p{L}+");
  constexpr std::string_view kReplacement = "\\L$0";
  std::string out(text.size() * 2 + 16, '\0');
  for (;;) {
    PCRE2_SIZE length = out.size();
    const int rc = pcre2_substitute(
        letters.get(), as_pcre2(text), text.size(), 0,
        PCRE2_SUBSTITUTE_GLOBAL | PCRE2_SUBSTITUTE_EXTENDED | PCRE2_SUBSTITUTE_OVERFLOW_LENGTH, nullptr, nullptr,
        as_pcre2(kReplacement), kReplacement.size(), reinterpret_cast<PCRE2_UCHAR*>(out.data()), &length);
    if (rc == PCRE2_ERROR_NOMEMORY) {
      out.resize(length);
      continue;
    }
    MNEME_CHECK(rc >= 0, "internal: lower-casing failed with code {}", rc);
    out.resize(length);
    return out;
  }
}

std::string valid_utf8(std::string_view text) {
  return find_invalid_utf8(text) ? encode_utf8(decode_utf8(text)) : std::string(text);
}
}  // namespace

std::optional<std::size_t> find_invalid_utf8(std::string_view bytes) {
  for (std::size_t i = 0; i < bytes.size();) {
    const std::size_t length = first_code_point(bytes.substr(i)).length;
    if (length == 0) return i;
    i += length;
  }
  return std::nullopt;
}

std::u32string decode_utf8(std::string_view bytes) {
  std::u32string out;
  out.reserve(bytes.size());
  for (std::size_t i = 0; i < bytes.size();) {
    const CodePoint point = first_code_point(bytes.substr(i));
    out.push_back(point.value);
    i += std::max<std::size_t>(point.length, 1);
  }
  return out;
}

std::string encode_utf8(std::u32string_view text) {
  std::string out;
  out.reserve(text.size());
  const auto put = [&](char32_t bits) { out.push_back(static_cast<char>(bits)); };
  for (const char32_t c : text) {
    if (c < 0x80) {
      put(c);
    } else if (c < 0x800) {
      put(0xC0 | (c >> 6)), put(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
      put(0xE0 | (c >> 12)), put(0x80 | ((c >> 6) & 0x3F)), put(0x80 | (c & 0x3F));
    } else {
      put(0xF0 | (c >> 18)), put(0x80 | ((c >> 12) & 0x3F)), put(0x80 | ((c >> 6) & 0x3F)), put(0x80 | (c & 0x3F));
    }
  }
  return out;
}

bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

std::string_view strip(std::string_view utf8) {
  std::size_t first = utf8.size(), last = 0;
  for (std::size_t i = 0; i < utf8.size();) {
    const CodePoint point = first_code_point(utf8.substr(i));
    const std::size_t next = i + std::max<std::size_t>(point.length, 1);
    if (!is_space(point.value)) {
      first = std::min(first, i);
      last = next;
    }
    i = next;
  }
  return first < last ? utf8.substr(first, last - first) : std::string_view{};
}

std::vector<std::string> split_whitespace(std::string_view utf8) {
  std::vector<std::string> parts;
  std::size_t start = 0;
  const auto take = [&](std::size_t end) {
    if (end > start) parts.emplace_back(utf8.substr(start, end - start));
  };
  for (std::size_t i = 0; i < utf8.size();) {
    const CodePoint point = first_code_point(utf8.substr(i));
    const std::size_t next = i + std::max<std::size_t>(point.length, 1);
    if (is_space(point.value)) {
      take(i);
      start = next;
    }
    i = next;
  }
  take(utf8.size());
  return parts;
}

std::string to_lower(std::string_view utf8) {
  std::string text = valid_utf8(utf8);
  if (is_ascii(text)) {
    for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    return text;
  }
  constexpr std::string_view kDottedCapitalI = "\xC4\xB0", kDottedSmallI = "i\xCC\x87";
  for (std::size_t i = 0; (i = text.find(kDottedCapitalI, i)) != std::string::npos; i += kDottedSmallI.size())
    text.replace(i, kDottedCapitalI.size(), kDottedSmallI);
  return lower_by_pcre2(text);
}

std::vector<std::string> unicode_words(std::string_view utf8) {
  static const Code words = compile(
      "[\\p{Han}\\p{Hiragana}\\p{Katakana}\\p{Thai}\\p{Lao}\\p{Khmer}\\p{Myanmar}]\\p{M}*"
      "|(?:(?![\\p{Han}\\p{Hiragana}\\p{Katakana}\\p{Thai}\\p{Lao}\\p{Khmer}\\p{Myanmar}])[\\p{L}\\p{M}\\p{N}])+");
  const std::string text = valid_utf8(utf8);
  const MatchData match(pcre2_match_data_create_from_pattern(words.get(), nullptr));
  std::vector<std::string> out;
  for (PCRE2_SIZE start = 0;;) {
    const int rc =
        pcre2_match(words.get(), as_pcre2(text), text.size(), start, PCRE2_NO_UTF_CHECK, match.get(), nullptr);
    if (rc == PCRE2_ERROR_NOMATCH) return out;
    MNEME_CHECK(rc >= 0, "internal: splitting into words failed with code {}", rc);
    const PCRE2_SIZE* span = pcre2_get_ovector_pointer(match.get());
    out.push_back(text.substr(span[0], span[1] - span[0]));
    start = span[1];
  }
}

}  // namespace mneme
