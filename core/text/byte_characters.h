#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace mneme::text {

/// GPT-2's way to write any byte as one printable character: those of Latin-1 that can be seen stand for themselves,
/// the others for U+0100 and up, in order.

/// The UTF-8 of the character that stands for a byte.
std::string_view byte_character(unsigned char byte);
/// The text with each byte written as its character.
std::string to_byte_characters(std::string_view bytes);
/// The bytes that a text of such characters stands for; none if it holds another character.
std::optional<std::string> from_byte_characters(std::string_view utf8);

}  // namespace mneme::text
