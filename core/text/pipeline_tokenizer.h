#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/text/added_tokens.h"
#include "core/text/decoder.h"
#include "core/text/post_processor.h"
#include "core/text/pre_tokenizer.h"
#include "core/text/tokenizer.h"
#include "core/text/word_cache.h"

namespace mneme::text {

/// The parts of a tokenizer of Hugging Face's kind.
struct Pipeline {
  std::unique_ptr<Normalizer> normalizer;       ///< may be null
  std::unique_ptr<PreTokenizer> pre_tokenizer;  ///< may be null
  std::unique_ptr<SubwordModel> model;
  AddedTokens added;
  std::unique_ptr<Decoder> decoder;  ///< null: tokens with blanks between
  Surroundings special;
  std::optional<std::int32_t> bos, eos, pad;
  bool tidies_blanks = false;  ///< decoded texts lose blanks in front of punctuation and English endings
  std::string identity;        ///< 64 hex digits
};

/// Normalises a text, splits it into words and each word into tokens: the same ids as Hugging Face's tokenizers.
class PipelineTokenizer final : public Tokenizer {
 public:
  explicit PipelineTokenizer(Pipeline pipeline);
  ~PipelineTokenizer() override;

  TokenIds encode(std::string_view utf8) const override;
  TokenIds encode_continuation(std::string_view utf8) const override;
  TokenIds with_special(TokenIds ids) const override;
  std::string decode(std::span<const std::int32_t> ids, SpecialTokens special = SpecialTokens::kSkip) const override;
  std::optional<std::string> token(std::int32_t id) const override;
  std::string bytes_of(std::int32_t id) const override;
  std::int32_t vocab_size() const override;
  std::int32_t text_vocab_size() const override;
  std::optional<std::int32_t> bos() const override { return parts_.bos; }
  std::optional<std::int32_t> eos() const override { return parts_.eos; }
  std::optional<std::int32_t> pad() const override { return parts_.pad; }
  std::string identity() const override { return parts_.identity; }

 private:
  struct Workspace;
  TokenIds encode(std::string_view utf8, bool continues) const;
  void encode_stretch(Stretch stretch, Workspace& workspace, TokenIds& ids) const;
  void encode_words(const Piece& text, Workspace& workspace, TokenIds& ids) const;
  void encode_word(std::string_view word, Workspace& workspace, TokenIds& ids) const;
  std::unique_ptr<Workspace> borrow() const;
  void give_back(std::unique_ptr<Workspace> workspace) const;

  Pipeline parts_;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Workspace>> idle_;  ///< one per thread that ever encoded at the same time
};

}  // namespace mneme::text
