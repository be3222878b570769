#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mneme {

/// Offset of the first byte that is not part of valid UTF-8 (no overlong forms, surrogates or values above U+10FFFF).
std::optional<std::size_t> find_invalid_utf8(std::string_view bytes);

/// Whether a byte of UTF-8 is one behind a character's first.
constexpr bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

/// Code points; each byte that is not part of valid UTF-8 becomes U+FFFD.
std::u32string decode_utf8(std::string_view bytes);

/// UTF-8 of code points.
std::string encode_utf8(std::u32string_view text);

/// White space as Python's str.isspace() and str.split() have it.
bool is_space(char32_t c);

/// The text without white space at both ends.
std::string_view strip(std::string_view utf8);

/// The parts between runs of white space, none of them empty.
std::vector<std::string> split_whitespace(std::string_view utf8);

/// Lower case by Unicode's simple mapping (and U+0130 to i with dot above, as Python does); no final sigma rule.
std::string to_lower(std::string_view utf8);

/// Words for scripts with and without blanks: each Han, Hiragana, Katakana, Thai, Lao, Khmer or Myanmar character (with
/// its marks) alone, otherwise maximal runs of letters, marks and digits. Everything else separates.
std::vector<std::string> unicode_words(std::string_view utf8);

}  // namespace mneme
