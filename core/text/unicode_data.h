#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace mneme::text {

// What Hugging Face's tokenizers take the classes of Unicode to be; unicode_tables.inc says from where.

/// The inside of a PCRE2 class for a Unicode property as Oniguruma names it: a general category such as L or Nd, or a
/// script such as Han. None for a property that is not supported.
std::optional<std::string> pcre2_property(std::string_view name);
/// The inside of a PCRE2 class for \w.
std::string word_ranges();
/// The insides of PCRE2 classes for what the pre-tokenizer Whitespace takes for parts of words beside \w, and for what
/// of \w it does not.
std::string also_in_words();
std::string not_in_words();
/// The inside of a PCRE2 class for the marks that PCRE2 does not know yet.
std::string newer_mark_ranges();
/// The inside of a PCRE2 class for what the pre-tokenizers Punctuation and Digits split at.
std::string punctuation_ranges();
std::string numeric_ranges();

/// What the tokenizers take for parts of words where no pattern of the file says it.
bool is_word(char32_t c);
/// The property White_Space.
bool is_white_space(char32_t c);
/// What the normalizer StripAccents drops.
bool is_mark(char32_t c);

/// Lower case, character by character, of valid UTF-8.
std::string lower_case(std::string_view utf8);

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };

/// Brings valid UTF-8 into one of Unicode's normal forms.
class UnicodeNormalizer {
 public:
  explicit UnicodeNormalizer(NormalForm form);
  /// \param front bytes at the text's start that are made from one character, before and behind (FrontWalk).
  void apply(std::string& utf8, std::size_t& front) const;

 private:
  struct Tables;
  static Tables make_tables(NormalForm form);
  template <NormalForm kForm>
  static const Tables& tables_of();
  const Tables& tables_;  ///< shared by all of the form
};

/// The code point at the start of non-empty valid UTF-8; \p length is set to its bytes.
char32_t first_code_point(std::string_view utf8, std::size_t& length);
/// Appends the UTF-8 of a code point.
void append_utf8(std::string& out, char32_t c);

}  // namespace mneme::text
