#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/text/subword_model.h"

namespace mneme::text {

/// Bytes to ids: all entries that a text starts with, in one walk. A double array: the child of state s by byte b is
/// s.base ^ b, if that state's check is s.
class PrefixTrie {
 public:
  /// Keys must be sorted, without repetition and not empty.
  explicit PrefixTrie(const std::vector<std::pair<std::string, std::int32_t>>& sorted);

  /// Calls found(length, id) for each entry that the text starts with, the shortest first.
  template <class Found>
  void prefixes(std::string_view text, Found found) const {
    std::uint32_t state = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const std::uint32_t next = states_[state].base ^ static_cast<unsigned char>(text[i]);
      if (next >= states_.size() || states_[next].parent != state) return;
      state = next;
      if (states_[state].id >= 0) found(i + 1, states_[state].id);
    }
  }

 private:
  static constexpr std::uint32_t kFree = ~std::uint32_t{0};
  struct State {
    std::uint32_t base = 0;
    std::uint32_t parent = kFree;
    std::int32_t id = -1;
  };
  class Builder;
  std::vector<State> states_;
};

struct UnigramOptions {
  std::optional<std::int32_t> unknown;  ///< id for what the vocabulary lacks
  bool byte_fallback = false;           ///< unknown text becomes tokens <0x00> to <0xFF>, if all of its bytes exist
};

/// A unigram language model (Kudo 2018): the segmentation of the highest sum of scores, by Viterbi.
class Unigram final : public SubwordModel {
 public:
  /// \param pieces text and score; the index is the id. \param where names the model in messages. Throws DataError.
  Unigram(std::vector<std::pair<std::string, double>> pieces, UnigramOptions options, std::string where);

  void encode(std::string_view word, EncodeScratch& scratch, TokenIds& ids) const override;
  std::optional<std::int32_t> id_of(std::string_view token) const override;
  std::optional<std::string_view> token_of(std::int32_t id) const override;
  std::int64_t size() const override { return static_cast<std::int64_t>(pieces_.size()); }
  std::int64_t id_end() const override { return size(); }

 private:
  void find_best_path(std::string_view word, std::vector<EncodeScratch::Node>& nodes) const;
  void emit_unknown(std::string_view text, TokenIds& ids) const;

  std::vector<std::pair<std::string, double>> pieces_;
  Vocabulary ids_;
  std::unique_ptr<const PrefixTrie> trie_;
  UnigramOptions options_;
  std::string where_;
  double unknown_score_;
};

}  // namespace mneme::text
