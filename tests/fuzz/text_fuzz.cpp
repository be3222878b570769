// libFuzzer target for what a tokenizer is read from. The first byte chooses the reader; only DataError may leave it or
// the tokenizer that it makes.
#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/error.h"
#include "core/text/model_files.h"
#include "core/text/token_pattern.h"

using namespace mneme;
using namespace mneme::text;

namespace {
constexpr std::string_view kText =
    "A \u00e9e\u0301 \uff21\ufb01 \u4e2d\u6587 12 \u2581x <s></s>'ll\n\t  \u212b \U0001f1e9\U0001f1ea";

void use(const Tokenizer& tokenizer) {
  TokenIds ids = tokenizer.with_special(tokenizer.encode(kText));
  tokenizer.encode_continuation(kText.substr(0, 20));
  ids.push_back(3);
  tokenizer.decode(ids);
  for (const std::int32_t id : ids) tokenizer.bytes_of(id);
}

void fuzz_pattern(std::string_view pattern) {
  TokenPattern::regex(pattern, "fuzz").for_each(kText.substr(0, 40), [](std::size_t, std::size_t) {});
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view content(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    switch (data[0] % 4) {
      case 0:
        use(*tokenizer_from_json(content, {}, "fuzz"));
        break;
      case 1:
        use(*tokenizer_from_sentencepiece(content, SentencePieceStyle::kT5, {}, "fuzz"));
        break;
      case 2:
        use(*tokenizer_from_sentencepiece(content, SentencePieceStyle::kLlama, {}, "fuzz"));
        break;
      default:
        fuzz_pattern(content);
        break;
    }
  } catch (const DataError&) {
  }
  return 0;
}
