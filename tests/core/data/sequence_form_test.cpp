#include "core/data/sequence_form.h"

#include "core/base/error.h"
#include "core/text/byte_tokenizer.h"
#include "core/text/model_files.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::data;
using Catch::Contains;

namespace {
/// Tokens a, b, ab; <pad> is added behind them.
std::unique_ptr<text::Tokenizer> padded_tokenizer() {
  return text::tokenizer_from_json(R"({
    "added_tokens": [{"id": 3, "content": "<pad>", "special": true, "normalized": false,
                      "single_word": false, "lstrip": false, "rstrip": false}],
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}})",
                                   {}, "tokenizer.json");
}
}  // namespace

TEST_CASE("a tokenizer with more pieces than the model has rows is refused", "[sequence_form]") {
  const text::ByteTokenizer bytes;  // 259 tokens
  CHECK_NOTHROW(SequenceForm(bytes, false, 259));
  CHECK_THROWS_AS(SequenceForm(bytes, false, 258), DataError);
  CHECK_THROWS_WITH(SequenceForm(bytes, true, 100), Contains("259 tokens") && Contains("100 rows") &&
                                                        Contains("vocab_size of its config.json") &&
                                                        Contains("put the model's own tokenizer files"));
}

TEST_CASE("an added token without a row is refused where a text has it", "[sequence_form]") {
  const auto tokenizer = padded_tokenizer();
  CHECK(tokenizer->vocab_size() == 4);
  CHECK(tokenizer->text_vocab_size() == 3);
  const SequenceForm form(*tokenizer, false, 3);
  CHECK(form.prompt(tokenizer->encode("abb")) == text::TokenIds{2, 1});
  CHECK_THROWS_WITH(form.prompt(tokenizer->encode("ab<pad>")),
                    Contains("token 3 ('<pad>')") && Contains("which has 3"));
  CHECK_THROWS_AS(form.answer("<pad>"), DataError);
  CHECK(SequenceForm(*tokenizer, false, 4).answer("<pad>") == text::TokenIds{3});
}

TEST_CASE("tokens that are put around every text need a row at once", "[sequence_form]") {
  const auto tokenizer = text::tokenizer_from_json(R"({
    "added_tokens": [{"id": 3, "content": "</s>", "special": true, "normalized": false,
                      "single_word": false, "lstrip": false, "rstrip": false}],
    "post_processor": {"type": "TemplateProcessing", "pair": [],
      "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
      "special_tokens": {"</s>": {"id": "</s>", "ids": [3], "tokens": ["</s>"]}}},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}})",
                                                   {}, "tokenizer.json");
  CHECK_THROWS_WITH(SequenceForm(*tokenizer, true, 3), Contains("'</s>'"));
  CHECK_NOTHROW(SequenceForm(*tokenizer, true, 4));
}
