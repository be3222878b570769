#include "core/text/byte_characters.h"

#include <array>
#include <cstdint>

#include "core/text/unicode_data.h"

namespace mneme::text {

namespace {
struct ByteTable {
  std::array<std::string, 256> character;
  std::array<std::int16_t, 0x200> byte;  ///< of a code point; -1 for none

  ByteTable() {
    byte.fill(-1);
    char32_t next = 0x100;
    for (int b = 0; b < 256; ++b) {
      const bool seen = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
      const char32_t c = seen ? static_cast<char32_t>(b) : next++;
      append_utf8(character[static_cast<std::size_t>(b)], c);
      byte[c] = static_cast<std::int16_t>(b);
    }
  }
};

const ByteTable& table() {
  static const ByteTable made;
  return made;
}
}  // namespace

std::string_view byte_character(unsigned char byte) { return table().character[byte]; }

std::string to_byte_characters(std::string_view bytes) {
  const ByteTable& t = table();
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char b : bytes) out += t.character[static_cast<unsigned char>(b)];
  return out;
}

std::optional<std::string> from_byte_characters(std::string_view utf8) {
  const ByteTable& t = table();
  std::string out;
  for (std::size_t i = 0, length = 0; i < utf8.size(); i += length) {
    const char32_t c = first_code_point(utf8.substr(i), length);
    if (c >= t.byte.size() || t.byte[c] < 0) return std::nullopt;
    out += static_cast<char>(t.byte[c]);
  }
  return out;
}

}  // namespace mneme::text
