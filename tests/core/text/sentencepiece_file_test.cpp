#include "core/text/sentencepiece_file.h"

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/random.h"
#include "core/text/model_files.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::text;
using Catch::Contains;

namespace {
const std::filesystem::path kFixtures = std::filesystem::path(MNEME_SOURCE_DIR) / "tests/parity/tokenizers/fixtures";

/// A field of a protocol buffer that holds bytes.
std::string field(int number, const std::string& bytes) {
  return std::string(1, static_cast<char>(number << 3 | 2)) + static_cast<char>(bytes.size()) + bytes;
}
const std::string kSettings = field(2, "") + field(3, "");
}  // namespace

TEST_CASE("the pieces of a SentencePiece model are read", "[sentencepiece]") {
  const std::string score("\x15\x00\x00\x20\xc0", 5), type("\x18\x03", 2), other = field(9, "ignored");
  const auto file =
      read_sentencepiece(field(1, field(1, "<s>") + score + type) + other + field(1, field(1, "b")) + kSettings, "m");
  REQUIRE(file.pieces.size() == 2);
  CHECK(file.pieces[0].text == "<s>");
  CHECK(file.pieces[0].score == -2.5f);
  CHECK(file.pieces[0].type == SentencePieceFile::PieceType::kControl);
  CHECK(file.pieces[1].type == SentencePieceFile::PieceType::kNormal);
}

TEST_CASE("damaged SentencePiece models are refused", "[sentencepiece]") {
  const auto refuse = [](const std::string& content, const std::string& message) {
    CHECK_THROWS_WITH(read_sentencepiece(content, "x.model"), Contains("x.model: " + message));
    CHECK_THROWS_AS(read_sentencepiece(content, "x.model"), DataError);
  };
  refuse("", "no pieces at byte 0");
  refuse(
      "\x0a\x05"
      "ab",
      "a field of 5 bytes, with 2 left, at byte 2");
  refuse("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "a field of 9223372036854775807 bytes, with 0 left");
  refuse(std::string(11, '\xff'), "a number of more than 64 bits at byte 10");
  refuse("\x0b", "a field of wire type 3");
  refuse("\x08\x01", "field 1 has wire type 0 instead of 2");
  refuse(field(1, field(1, "\xff")), "a text that is no UTF-8");
  const std::string text(1025, 'a'), piece = "\x0a\x81\x08" + text;
  refuse("\x0a\x84\x08" + piece + kSettings, "a piece of 1025 bytes");
  refuse(field(1, std::string("\x18\x09", 2)), "a piece of the unknown type 9");
  refuse(field(1, field(1, "a")), "no training or normalisation settings");
  refuse("{\"version\"", "");
}

TEST_CASE("no cut or changed model does worse than an error", "[sentencepiece][property]") {
  const std::string whole = read_file(kFixtures / "t5_spiece" / "spiece.model");
  for (std::size_t size = 0; size < whole.size(); size += 7)
    CHECK_THROWS_AS(read_sentencepiece(whole.substr(0, size), "m"), DataError);
  RandomStream random(5, "models");
  for (int round = 0; round < 200; ++round) {
    std::string bytes = whole;
    for (int i = 0; i < 3; ++i) bytes[random.below(bytes.size())] = static_cast<char>(random.below(256));
    try {
      const auto style = round % 2 == 0 ? SentencePieceStyle::kT5 : SentencePieceStyle::kLlama;
      tokenizer_from_sentencepiece(bytes, style, {}, "m")->encode("a \ufb01ne caf\u00e9 \u4e2d\u6587 \uff21");
    } catch (const DataError& e) {
      CHECK_FALSE(e.message().empty());
    }
  }
}
