#include "core/config/utf8.h"

#include <algorithm>
#include <iterator>

#include "core/base/unicode.h"

namespace mneme::config {

namespace {
// The zeros of Unicode's decimal digits (category Nd) beyond ASCII; the other nine follow each of them.
constexpr char32_t kZeros[] = {0x660,   0x6f0,   0x7c0,   0x966,   0x9e6,   0xa66,   0xae6,   0xb66,   0xbe6,   0xc66,
                               0xce6,   0xd66,   0xde6,   0xe50,   0xed0,   0xf20,   0x1040,  0x1090,  0x17e0,  0x1810,
                               0x1946,  0x19d0,  0x1a80,  0x1a90,  0x1b50,  0x1bb0,  0x1c40,  0x1c50,  0xa620,  0xa8d0,
                               0xa900,  0xa9d0,  0xa9f0,  0xaa50,  0xabf0,  0xff10,  0x104a0, 0x10d30, 0x11066, 0x110f0,
                               0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950,
                               0x11c50, 0x11d50, 0x11da0, 0x16a60, 0x16ac0, 0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec,
                               0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0};

bool is_blank_beyond_ascii(char32_t c) {
  return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
         c == 0x202f || c == 0x205f || c == 0x3000;
}
}  // namespace

char32_t next_code_point(std::string_view text, std::size_t& offset) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(offset++);
  if (first < 0x80) return first;
  const std::size_t more = first >= 0xf0 && first < 0xf5   ? 3
                           : first >= 0xe0 && first < 0xf0 ? 2
                           : first >= 0xc2 && first < 0xe0 ? 1
                                                           : 0;
  if (more == 0 || offset + more > text.size()) return kInvalidCodePoint;
  char32_t code = first & (0x3f >> more);
  for (std::size_t i = 0; i < more; ++i) {
    if ((byte(offset + i) & 0xc0) != 0x80) return kInvalidCodePoint;
    code = (code << 6) | (byte(offset + i) & 0x3f);
  }
  constexpr char32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
  if (code < kLeast[more] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return kInvalidCodePoint;
  offset += more;
  return code;
}

std::size_t code_points(std::string_view text) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < text.size(); ++count) next_code_point(text, i);
  return count;
}

std::size_t find_invalid_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t start = i;
    if (next_code_point(text, i) == kInvalidCodePoint) return start;
  }
  return std::string_view::npos;
}

std::string ascii_digits_and_blanks(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t start = i;
    const char32_t c = next_code_point(text, i);
    if (c < 0x80 || c == kInvalidCodePoint) {
      result += text.substr(start, i - start);
      continue;
    }
    const char32_t* above = std::upper_bound(std::begin(kZeros), std::end(kZeros), c);
    if (is_blank_beyond_ascii(c))
      result += ' ';
    else if (above != std::begin(kZeros) && c - above[-1] < 10)
      result += static_cast<char>('0' + (c - above[-1]));
    else
      result += text.substr(start, i - start);
  }
  return result;
}

std::string shortened(std::string_view text, std::size_t most) {
  if (text.size() <= most) return std::string(text);
  while (most > 0 && is_continuation(text[most])) --most;
  return std::string(text.substr(0, most)) + "…";
}

void append_utf8(std::string& text, char32_t code_point) {
  const auto put = [&](char32_t byte) { text += static_cast<char>(byte); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xc0 | (code_point >> 6)), put(0x80 | (code_point & 0x3f));
  } else if (code_point < 0x10000) {
    put(0xe0 | (code_point >> 12)), put(0x80 | ((code_point >> 6) & 0x3f)), put(0x80 | (code_point & 0x3f));
  } else {
    put(0xf0 | (code_point >> 18)), put(0x80 | ((code_point >> 12) & 0x3f));
    put(0x80 | ((code_point >> 6) & 0x3f)), put(0x80 | (code_point & 0x3f));
  }
}

}  // namespace mneme::config
