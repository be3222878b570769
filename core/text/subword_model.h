#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/text/json_fields.h"
#include "core/text/tokenizer.h"

namespace mneme::text {

/// Lets maps from texts be asked with views.
struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
using Vocabulary = std::unordered_map<std::string, std::int32_t, TextHash, std::equal_to<>>;

/// Most tokens that a vocabulary may have.
constexpr std::int64_t kMostTokens = 1 << 24;

/// Memory that models use while they encode, kept to be used again.
struct EncodeScratch {
  struct Symbol {
    std::int32_t id;
    std::int32_t previous, next;  ///< positions; -1 at the ends
    bool merged;                  ///< into the one before it
  };
  struct Merge {
    std::uint32_t rank, position;
    std::int32_t left, right, id;  ///< what was there when it was queued, and what it becomes
  };
  struct Node {
    double score;
    std::int32_t id;
    std::uint32_t start;
  };
  std::vector<Symbol> symbols;
  std::vector<Merge> queue;
  std::vector<Node> nodes;
  struct Span {
    std::uint32_t start, end;
    std::int32_t id;
  };
  std::vector<Span> spans;
};

/// A vocabulary and how words are made of it. Immutable.
class SubwordModel {
 public:
  virtual ~SubwordModel();

  /// Appends the ids of a non-empty word of valid UTF-8 (or of bytes, for a vocabulary of byte characters).
  virtual void encode(std::string_view word, EncodeScratch& scratch, TokenIds& ids) const = 0;
  /// Bytes of the first part of the word that can be encoded by itself, no token reaching from it into the rest.
  virtual std::size_t first_part(std::string_view word) const { return word.size(); }

  virtual std::optional<std::int32_t> id_of(std::string_view token) const = 0;
  /// None for an id without a token.
  virtual std::optional<std::string_view> token_of(std::int32_t id) const = 0;
  /// How many tokens there are: the first id for an added one.
  virtual std::int64_t size() const = 0;
  /// One more than the largest id.
  virtual std::int64_t id_end() const = 0;
};

/// "BPE", "Unigram" or another type that a "model" names.
std::string model_type(const Json& value, const std::string& where);

/// Reads the field "model" of a tokenizer.json. \param byte_words words come as bytes and the vocabulary has them in
/// byte characters. Throws DataError naming what is missing, wrong or not supported.
std::unique_ptr<SubwordModel> make_model(const Json& value, const std::string& where, bool byte_words);

}  // namespace mneme::text
