#pragma once

#include <cstdint>
#include <span>

#include "core/data/tokenize.h"
#include "core/text/tokenizer.h"

namespace mneme::data {

/// Where a model wants special tokens: a decoder reads [bos] prompt answer eos as one text, an encoder-decoder reads
/// the prompt as its tokenizer ends a text and writes answer eos.
class SequenceForm {
 public:
  /// \param model_tokens rows of the model's embedding; DataError where the tokenizer's own pieces, or the tokens that
  ///        are put around every text, have ids beyond
  SequenceForm(const text::Tokenizer& tokenizer, bool encoder_decoder, std::int64_t model_tokens);
  const text::Tokenizer& tokenizer() const { return tokenizer_; }

  /// \param max_length tokens that a training sequence may have: all of a decoder's, the prompt of an encoder
  LengthLimits training_limits(std::int64_t max_length, std::int64_t max_answer) const;
  /// Limits of a prompt that is answered with at most `new_tokens` tokens. Throws Error if nothing is left for it.
  LengthLimits prompt_limits(std::int64_t max_length, std::int64_t new_tokens) const;

  /// Like answer() it throws DataError for an added token that the model has no row for.
  text::TokenIds prompt(std::span<const std::int32_t> ids) const;
  /// \param whole false for an answer that was cut: it does not end where it was cut
  text::TokenIds answer(std::span<const std::int32_t> ids, bool whole = true) const;
  /// An answer that stands alone, a label for instance, with its end.
  text::TokenIds answer(std::string_view utf8) const;

 private:
  const text::Tokenizer& tokenizer_;
  bool encoder_decoder_;
  std::int64_t model_tokens_;

  /// The ids, all of which have a row.
  text::TokenIds checked(text::TokenIds ids) const;
};

}  // namespace mneme::data
