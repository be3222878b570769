#include "core/text/tokenizer.h"

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/random.h"
#include "core/text/byte_tokenizer.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"

using namespace mneme;
using namespace mneme::text;

TEST_CASE("the byte tokenizer gives the very bytes back", "[tokenizer][property]") {
  const ByteTokenizer tokenizer;
  CHECK(tokenizer.encode("aé") == TokenIds{97, 195, 169});
  RandomStream random(3, "bytes");
  for (int round = 0; round < 200; ++round) {
    std::string text(random.below(50), '\0');
    for (char& c : text) c = static_cast<char>(random.below(256));
    CHECK(tokenizer.decode(tokenizer.encode(text)) == text);
    CHECK(tokenizer.encode_continuation(text) == tokenizer.encode(text));
  }
}

TEST_CASE("special tokens are added and shown only on request", "[tokenizer]") {
  const ByteTokenizer tokenizer;
  const TokenIds ids{ByteTokenizer::kBos, 'h', 'i', ByteTokenizer::kEos, ByteTokenizer::kPad};
  CHECK(tokenizer.with_special(tokenizer.encode("hi")) == TokenIds{256, 'h', 'i'});
  CHECK(tokenizer.decode(ids) == "hi");
  CHECK(tokenizer.decode(ids, SpecialTokens::kKeep) == "<bos>hi<eos><pad>");
  CHECK(tokenizer.encode("<eos>") == TokenIds{'<', 'e', 'o', 's', '>'});
  CHECK(tokenizer.vocab_size() == 259);
  CHECK(tokenizer.bos() == 256);
  CHECK(tokenizer.eos() == 257);
  CHECK(tokenizer.pad() == 258);
  CHECK(tokenizer.decode(TokenIds{'h', 259, 6126, 'i'}, SpecialTokens::kKeep) == "hi");  // rows that a model has more
  CHECK_THROWS_WITH(tokenizer.decode(TokenIds{-1}), "token id -1 is outside any vocabulary");
  CHECK_THROWS_AS(tokenizer.decode(TokenIds{1 << 24}), DataError);
}

TEST_CASE("a model directory names its tokenizer", "[tokenizer]") {
  const test::TemporaryDirectory directory("tokenizer-test");
  CHECK_THROWS_WITH(load_tokenizer(directory / "none"), Catch::Contains("is not a directory"));
  CHECK_THROWS_WITH(load_tokenizer(directory.path()),
                    Catch::Contains("found no tokenizer_class, model_type ''; expected"));
  write_file_atomically(directory / "tokenizer_config.json", ByteTokenizer::config_json());
  const auto tokenizer = load_tokenizer(directory.path());
  CHECK(tokenizer->identity() == ByteTokenizer().identity());
  CHECK(tokenizer->identity().size() == 64);
  write_file_atomically(directory / "tokenizer_config.json", R"({"tokenizer_class": "BertTokenizer"})");
  CHECK_THROWS_AS(load_tokenizer(directory.path()), DataError);
  CHECK_THROWS_WITH(load_tokenizer(directory.path()), Catch::Contains("found tokenizer_class 'BertTokenizer'"));
  write_file_atomically(directory / "tokenizer_config.json", "{");
  CHECK_THROWS_WITH(load_tokenizer(directory.path()), Catch::Contains("tokenizer_config.json: is not JSON"));
  write_file_atomically(directory / "tokenizer_config.json", "[]");
  CHECK_THROWS_WITH(load_tokenizer(directory.path()), Catch::Contains("is not a JSON object"));
  write_file_atomically(directory / "tokenizer_config.json", R"({"split_special_tokens": true})");
  CHECK_THROWS_WITH(load_tokenizer(directory.path()), Catch::Contains("tokenizer_config.json: split_special_tokens"));
}

TEST_CASE("a token's bytes may be a part of a character", "[tokenizer]") {
  const std::filesystem::path fixtures = std::filesystem::path(MNEME_SOURCE_DIR) / "tests/parity/tokenizers/fixtures";
  const std::string text = "na\u00efve \u4e2d\u6587 \U0001f44d";
  for (const char* name : {"gpt2_json", "llama2_json"}) {
    const auto tokenizer = load_tokenizer(fixtures / name);
    std::string bytes;
    for (const std::int32_t id : tokenizer->encode_continuation(text)) bytes += tokenizer->bytes_of(id);
    for (std::size_t blank = bytes.find("\u2581"); blank != std::string::npos; blank = bytes.find("\u2581"))
      bytes.replace(blank, 3, " ");
    CHECK(bytes == text);
    TokenIds ids = tokenizer->encode_continuation("\U0001f98b");
    ids.pop_back();
    CHECK(tokenizer->decode(ids).find("\ufffd") != std::string::npos);
  }
}
