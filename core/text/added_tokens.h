#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/text/normalizer.h"
#include "core/text/subword_model.h"
#include "core/text/unigram.h"

namespace mneme::text {

/// A token that is found in a text before the text is split: special ones, and those added after training.
struct AddedToken {
  std::string content;
  bool single_word = false;  ///< only where no letter or digit touches it
  bool lstrip = false;       ///< takes the white space before it
  bool rstrip = false;       ///< takes the white space behind it
  bool normalized = true;    ///< looked for in the normalised text, normalised itself
  bool special = false;      ///< left out of decoded texts
  bool operator==(const AddedToken&) const = default;
};

/// The added tokens of a tokenizer. Filled once, then immutable.
class AddedTokens {
 public:
  /// A part of a text: an added token, or text between those (token null).
  struct Part {
    std::size_t begin, end;
    const std::int32_t* id;
  };

  /// Adds a token; it has the id that the model or an added token of the same text has, else the next free one.
  void add(const AddedToken& token, const SubwordModel& model);
  /// To be called when all are there.
  void finish(const Normalizer* normalizer);

  /// Parts that cover the text, added tokens that are looked for in raw or in normalised texts.
  std::vector<Part> find(std::string_view text, bool normalized) const;
  bool looks_in_normalized() const { return normalized_.trie != nullptr; }

  std::optional<std::int32_t> id_of(std::string_view content) const;
  /// The token's text in decoding: normalised where it is looked for so. None if no added token has the id.
  std::optional<std::string_view> text_of(std::int32_t id) const;
  std::optional<std::string_view> content_of(std::int32_t id) const;
  bool is_special(std::string_view content) const;
  std::int64_t id_end() const { return by_id_.empty() ? 0 : by_id_.rbegin()->first + std::int64_t{1}; }
  const std::map<std::int32_t, AddedToken>& tokens() const { return by_id_; }

 private:
  struct Matcher {
    std::unique_ptr<const PrefixTrie> trie;  ///< none if no token is looked for
    std::array<bool, 256> starts{};          ///< by the first byte of a token
    std::int32_t empty = -1;                 ///< the token of which the normalizer leaves nothing, -1 for none
    /// The longest token at a place; its bytes, and its id, -1 for none.
    std::pair<std::size_t, std::int32_t> at(std::string_view text, std::size_t place) const;
  };
  static Matcher matcher_of(std::vector<std::pair<std::string, std::int32_t>> texts);

  std::map<std::int32_t, AddedToken> by_id_;
  std::map<std::string, std::int32_t, std::less<>> ids_;
  std::map<std::string, bool, std::less<>> special_;
  std::map<std::int32_t, std::string> normalized_text_;  ///< where it differs from the content
  Matcher raw_, normalized_;
};

}  // namespace mneme::text
