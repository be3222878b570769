// Ids and texts against those of Hugging Face's tokenizers (record_tokenizers.py).
#include <nlohmann/json.hpp>

#include "core/base/file.h"
#include "core/text/tokenizer.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::text;
using Json = nlohmann::json;

namespace {
const std::filesystem::path kFixtures = std::filesystem::path(MNEME_SOURCE_DIR) / "tests/parity/tokenizers/fixtures";

Json read_json(const std::filesystem::path& path) { return Json::parse(read_file(path)); }

void check_cases(const std::filesystem::path& directory, const std::vector<std::string>& texts) {
  const auto tokenizer = load_tokenizer(directory);
  const Json recorded = read_json(directory / "cases.json");
  REQUIRE(recorded.at("cases").size() == texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const Json& expected = recorded.at("cases")[i];
    INFO(directory.filename() << ", text " << i << ": " << Json(texts[i]).dump());
    const TokenIds ids = tokenizer->encode(texts[i]);
    CHECK(Json(ids) == expected[0]);
    TokenIds special = recorded.at("before").get<TokenIds>();
    special.insert(special.end(), ids.begin(), ids.end());
    for (const Json& id : recorded.at("after")) special.push_back(id.get<std::int32_t>());
    CHECK(tokenizer->with_special(ids) == special);
    const std::string decoded = tokenizer->decode(ids, SpecialTokens::kKeep);
    CHECK(decoded == (expected[1].is_null() ? texts[i] : expected[1].get<std::string>()));
    CHECK(tokenizer->decode(ids) == (expected[2].is_null() ? decoded : expected[2].get<std::string>()));
  }
}
}  // namespace

TEST_CASE("ids and decoded texts are those of Hugging Face's tokenizers", "[tokenizer][parity]") {
  const auto texts = read_json(kFixtures / "texts.json").get<std::vector<std::string>>();
  for (const char* name :
       {"t5_spiece", "t5_json", "llama_model", "llama_legacy_model", "llama_json", "llama2_json", "gpt2_json",
        "prefix_json", "qwen2_json", "o200k_json", "llama3_json", "falcon_json", "unigram_json"}) {
    SECTION(name) { check_cases(kFixtures / name, texts); }
  }
}

TEST_CASE("words seen before get the same ids again", "[tokenizer]") {
  const auto texts = read_json(kFixtures / "texts.json").get<std::vector<std::string>>();
  const auto used = load_tokenizer(kFixtures / "llama_json");
  std::vector<TokenIds> first;
  for (const std::string& text : texts) first.push_back(used->encode(text));
  for (std::size_t i = 0; i < texts.size(); ++i) {
    CHECK(used->encode(texts[i]) == first[i]);
    CHECK(load_tokenizer(kFixtures / "llama_json")->encode(texts[i]) == first[i]);
  }
}
