#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/text/subword_model.h"

namespace mneme::text {

struct BpeOptions {
  std::optional<std::string> unknown;  ///< token for what the vocabulary lacks; without one it is dropped
  bool fuse_unknown = false;           ///< unknown characters in a row are one token
  bool byte_fallback = false;          ///< unknown characters become tokens <0x00> to <0xFF>, if all of theirs exist
  bool ignore_merges = false;          ///< a word of the vocabulary is that token, whatever the merges say
  bool byte_words = false;             ///< words come as bytes, the vocabulary has them in byte characters
};

using MergeRules = std::vector<std::pair<std::string, std::string>>;

/// Byte-pair encoding (Sennrich et al. 2016): the pair of the lowest rank is merged first, the leftmost of equals.
class Bpe final : public SubwordModel {
 public:
  /// \param where names the model in messages. Throws DataError for a merge whose parts or result have no id.
  Bpe(Vocabulary vocabulary, const MergeRules& merges, BpeOptions options, const std::string& where);

  void encode(std::string_view word, EncodeScratch& scratch, TokenIds& ids) const override;
  std::size_t first_part(std::string_view word) const override;
  std::optional<std::int32_t> id_of(std::string_view token) const override;
  std::optional<std::string_view> token_of(std::int32_t id) const override;
  std::int64_t size() const override { return static_cast<std::int64_t>(vocabulary_.size()); }
  std::int64_t id_end() const override { return static_cast<std::int64_t>(tokens_.size()); }

 private:
  struct Rule {
    std::uint64_t pair;  ///< left id << 32 | right id; kNoPair for an empty slot
    std::uint32_t rank;
    std::int32_t id;
  };
  static constexpr std::uint64_t kNoPair = ~std::uint64_t{0};

  void add_rules(const MergeRules& merges, const std::string& where);
  void find_safe_cuts(const MergeRules& merges);
  const Rule* rule(std::int32_t left, std::int32_t right) const;
  void add_symbols(std::string_view word, std::vector<EncodeScratch::Symbol>& symbols) const;
  std::string_view character_at(std::string_view word, std::size_t at, std::size_t& length, std::int32_t& id) const;
  void add_fallback(std::string_view character, std::vector<EncodeScratch::Symbol>& symbols, bool& unknown_waits) const;
  void queue_pair(EncodeScratch& scratch, std::int32_t position) const;
  void merge(EncodeScratch& scratch) const;

  Vocabulary vocabulary_;
  std::vector<std::string_view> tokens_;  ///< by id, into the vocabulary; data() null for an id without a token
  std::vector<Rule> rules_;               ///< open addressing, a power of two
  std::vector<std::int32_t> characters_;  ///< ids by code point below 2^16, or by byte; -1 for none
  std::vector<std::int32_t> byte_ids_;    ///< of <0x00> to <0xFF>, -1 for none
  BpeOptions options_;
  std::int32_t unknown_id_ = -1;
  bool cuts_at_blanks_ = false;  ///< no token reaches across the start of a run of U+2581
};

}  // namespace mneme::text
