#include "core/config/utf8.h"

namespace mneme::config {

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
