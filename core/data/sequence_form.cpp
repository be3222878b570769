#include "core/data/sequence_form.h"

#include "core/base/error.h"

namespace mneme::data {

SequenceForm::SequenceForm(const text::Tokenizer& tokenizer, bool encoder_decoder, std::int64_t model_tokens)
    : tokenizer_(tokenizer), encoder_decoder_(encoder_decoder), model_tokens_(model_tokens) {
  if (tokenizer.text_vocab_size() > model_tokens)
    throw DataError(fmt::format(
        "the tokenizer has {} tokens, the model's embedding (vocab_size of its config.json) {} rows: they do "
        "not belong together; put the model's own tokenizer files into its directory",
        tokenizer.text_vocab_size(), model_tokens));
  prompt({});
  answer(std::span<const std::int32_t>{});
}

text::TokenIds SequenceForm::checked(text::TokenIds ids) const {
  for (const std::int32_t id : ids)
    if (id >= model_tokens_)
      throw DataError(fmt::format(
          "the tokenizer's token {} ('{}') has no row in the model's embedding, which has {} (vocab_size of "
          "its config.json): take the token out of the text, or out of the tokenizer's added tokens",
          id, tokenizer_.token(id).value_or("?"), model_tokens_));
  return ids;
}

LengthLimits SequenceForm::training_limits(std::int64_t max_length, std::int64_t max_answer) const {
  LengthLimits limits{.max_total = max_length, .max_answer = max_answer, .separate_answer = encoder_decoder_};
  limits.special = static_cast<std::int64_t>(prompt({}).size());
  if (!encoder_decoder_) limits.special += static_cast<std::int64_t>(answer(std::span<const std::int32_t>{}).size());
  return limits;
}

LengthLimits SequenceForm::prompt_limits(std::int64_t max_length, std::int64_t new_tokens) const {
  LengthLimits limits{.separate_answer = encoder_decoder_};
  limits.max_prompt = max_length - (encoder_decoder_ ? static_cast<std::int64_t>(prompt({}).size()) : new_tokens + 1);
  MNEME_CHECK(limits.max_prompt > 0, "max_new_tokens {} leaves no room for a prompt in max_length {}", new_tokens,
              max_length);
  return limits;
}

text::TokenIds SequenceForm::prompt(std::span<const std::int32_t> ids) const {
  text::TokenIds made(ids.begin(), ids.end());
  if (encoder_decoder_) return checked(tokenizer_.with_special(std::move(made)));
  if (const auto bos = tokenizer_.bos()) made.insert(made.begin(), *bos);
  return checked(std::move(made));
}

text::TokenIds SequenceForm::answer(std::span<const std::int32_t> ids, bool whole) const {
  text::TokenIds made(ids.begin(), ids.end());
  if (const auto eos = tokenizer_.eos(); eos && whole) made.push_back(*eos);
  return checked(std::move(made));
}

text::TokenIds SequenceForm::answer(std::string_view utf8) const {
  return answer(encoder_decoder_ ? tokenizer_.encode(utf8) : tokenizer_.encode_continuation(utf8));
}

}  // namespace mneme::data
