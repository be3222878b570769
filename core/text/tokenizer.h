#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mneme::text {

using TokenIds = std::vector<std::int32_t>;

enum class SpecialTokens { kSkip, kKeep };

/// Texts to token ids and back. Immutable, usable by several threads at once.
class Tokenizer {
 public:
  virtual ~Tokenizer();

  /// Ids of a text, no special tokens added.
  virtual TokenIds encode(std::string_view utf8) const = 0;

  /// Ids of a text that goes on where another one ends, no special tokens: without the blank that some tokenizers put
  /// in front of every text. Default: encode().
  virtual TokenIds encode_continuation(std::string_view utf8) const;

  /// The ids with the special tokens that the model's own tokenizer puts around a text (a Llama: bos in front; a T5:
  /// eos behind).
  virtual TokenIds with_special(TokenIds ids) const = 0;

  /// The text of ids. Throws DataError for an id that is not in [0, vocab_size()).
  virtual std::string decode(std::span<const std::int32_t> ids, SpecialTokens special = SpecialTokens::kSkip) const = 0;

  virtual std::int32_t vocab_size() const = 0;
  virtual std::optional<std::int32_t> bos() const = 0;
  virtual std::optional<std::int32_t> eos() const = 0;
  virtual std::optional<std::int32_t> pad() const = 0;

  /// Equal for two tokenizers exactly when they give the same ids (64 hex digits); part of every cache key.
  virtual std::string identity() const = 0;
};

/// The tokenizer of the model in that directory. Its tokenizer_config.json may name the byte tokenizer; throws
/// DataError naming what was found when no known tokenizer is there.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& model_directory);

}  // namespace mneme::text
