#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace mneme::text {

/// A regular expression of a tokenizer file. Those are written for Oniguruma with Unicode 16; PCRE2 runs them after a
/// translation of what the two understand differently. A construct that has no sure translation is a DataError that
/// names it. Usable by several threads at once.
class TokenPattern {
 public:
  /// \param where names the field of the file, for messages. Throws DataError for what does not compile.
  static TokenPattern regex(std::string_view oniguruma, const std::string& where);
  /// Finds the text itself.
  static TokenPattern literal(std::string text);
  /// Finds extended grapheme clusters.
  static TokenPattern graphemes();

  TokenPattern(TokenPattern&&) noexcept;
  TokenPattern& operator=(TokenPattern&&) noexcept;
  ~TokenPattern();

  using Found = std::function<void(std::size_t begin, std::size_t end)>;
  /// Calls found for each match in valid UTF-8, from left to right, none overlapping. Throws DataError if the match
  /// needs more steps or memory than PCRE2 allows.
  void for_each(std::string_view utf8, const Found& found) const;

 private:
  struct Compiled;
  static TokenPattern compile(std::string_view pcre2, const std::string& where, std::string_view shown);
  explicit TokenPattern(std::unique_ptr<const Compiled> compiled);
  std::unique_ptr<const Compiled> compiled_;
};

/// Reads {"Regex": "..."} or {"String": "..."}.
TokenPattern make_pattern(const nlohmann::json& value, const std::string& where);

/// The PCRE2 pattern that matches what the Oniguruma pattern matches.
std::string translate_pattern(std::string_view oniguruma, const std::string& where);

}  // namespace mneme::text
