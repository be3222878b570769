#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/config/override.h"

namespace mneme::config {

enum class TokenType {
  kEnd,
  kEqual,
  kTilde,
  kPlus,
  kAt,
  kColon,
  kSlash,
  kId,
  kKeySpecial,
  kDotPath,  // keys
  kParenOpen,
  kComma,
  kParenClose,
  kBracketOpen,
  kBracketClose,
  kBraceOpen,
  kBraceClose,  // values
  kFloat,
  kInt,
  kBool,
  kNull,
  kUnquotedChar,
  kEscape,
  kBlank,
  kQuoted,
  kInterpolation,
};

struct Token {
  TokenType type = TokenType::kEnd;
  std::size_t begin = 0;  ///< byte offset in the override
  std::size_t end = 0;
};

/// Splits an override into tokens: key mode up to the first '=', then value mode; the longest token wins, among equals
/// the first of the grammar. The last token is kEnd. Throws ConfigError at a character that starts no token. \param
/// value_only  start in value mode
std::vector<Token> tokenize_override(std::string_view text, bool value_only, const OverrideOptions& options);

/// The first token of a text in value mode, with offsets from its start; kEnd where no token starts.
Token first_value_token(std::string_view text);

/// An error in an override: what, the text with a caret under byte `offset`, and the quoted form to paste if that would
/// mend it.
[[noreturn]] void fail_override(std::string_view text, std::size_t offset, const std::string& what,
                                const OverrideOptions& options, bool value_only = false);

}  // namespace mneme::config
