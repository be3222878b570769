#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mneme::config {

constexpr char32_t kInvalidCodePoint = 0xffffffff;

/// The code point at byte `offset`, which is moved behind it. Bytes that are no UTF-8 give kInvalidCodePoint, one at a
/// time.
char32_t next_code_point(std::string_view text, std::size_t& offset);

/// Number of code points; invalid bytes count one each.
std::size_t code_points(std::string_view text);

/// Byte offset of the first byte that is no valid UTF-8, or npos.
std::size_t find_invalid_utf8(std::string_view text);

/// The text with the blanks and decimal digits of all scripts written as ' ' and '0' to '9', as Python's int() and
/// float() read them.
std::string ascii_digits_and_blanks(std::string_view text);

/// At most `most` bytes of a text and "…" for the rest; characters stay whole.
std::string shortened(std::string_view text, std::size_t most);

void append_utf8(std::string& text, char32_t code_point);

}  // namespace mneme::config
