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

  /// The text of ids, valid UTF-8 for tokenizers of Hugging Face's kind: what is cut within a character becomes U+FFFD.
  /// An id that no token has (a model may have more rows than its tokenizer has tokens) adds nothing. Throws DataError
  /// for an id that cannot be one.
  virtual std::string decode(std::span<const std::int32_t> ids, SpecialTokens special = SpecialTokens::kSkip) const = 0;

  /// A token as the vocabulary writes it; none if no token has the id.
  virtual std::optional<std::string> token(std::int32_t id) const = 0;

  /// The bytes that a token stands for, which may start or end within a character; "" if no token has the id.
  virtual std::string bytes_of(std::int32_t id) const = 0;

  /// One more than the largest id.
  virtual std::int32_t vocab_size() const = 0;

  /// One more than the largest id that any text may give: without tokens that were added and are found by their name
  /// only, as the padding that some models' tokenizers hold behind their last row. Default: vocab_size().
  virtual std::int32_t text_vocab_size() const;
  virtual std::optional<std::int32_t> bos() const = 0;
  virtual std::optional<std::int32_t> eos() const = 0;
  virtual std::optional<std::int32_t> pad() const = 0;

  /// Equal for two tokenizers exactly when they give the same ids (64 hex digits); part of every cache key.
  virtual std::string identity() const = 0;
};

/// The tokenizer of the model in that directory, as Hugging Face's AutoTokenizer finds it: tokenizer.json, else a
/// SentencePiece model (spiece.model, tokenizer.model) read as T5's or LLaMA's, with the special tokens that
/// tokenizer_config.json or special_tokens_map.json name; or the byte tokenizer that tokenizer_config.json names.
/// Throws DataError naming what was found when no known tokenizer is there, or the field that is not supported.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& model_directory);

}  // namespace mneme::text
