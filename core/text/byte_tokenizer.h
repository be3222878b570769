#pragma once

#include "core/text/tokenizer.h"

namespace mneme::text {

/// Ids 0..255 are the bytes of the text, then bos, eos and pad: 259 ids, nothing is unknown, decoding gives the very
/// bytes back.
class ByteTokenizer final : public Tokenizer {
 public:
  static constexpr const char* kClassName = "MnemeByteTokenizer";  ///< in tokenizer_config.json
  static constexpr std::int32_t kBos = 256, kEos = 257, kPad = 258, kVocabSize = 259;

  TokenIds encode(std::string_view utf8) const override;
  /// bos in front.
  TokenIds with_special(TokenIds ids) const override;
  /// Special tokens, where kept, as <bos>, <eos> and <pad>.
  std::string decode(std::span<const std::int32_t> ids, SpecialTokens special = SpecialTokens::kSkip) const override;
  std::optional<std::string> token(std::int32_t id) const override;
  std::string bytes_of(std::int32_t id) const override;
  std::int32_t vocab_size() const override { return kVocabSize; }
  std::optional<std::int32_t> bos() const override { return kBos; }
  std::optional<std::int32_t> eos() const override { return kEos; }
  std::optional<std::int32_t> pad() const override { return kPad; }
  std::string identity() const override;

  /// The content of the tokenizer_config.json by which load_tokenizer() knows this tokenizer.
  static std::string config_json();
};

}  // namespace mneme::text
