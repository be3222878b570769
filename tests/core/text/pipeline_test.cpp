// Small tokenizer.json files whose ids can be worked out by hand, and what is wrong in others.
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/text/model_files.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::text;
using Catch::Contains;

namespace {
/// BPE over a few letters: "ab" is merged before "bc", so that "abc" is "ab", "c".
Json bpe_file() {
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", Json::array()},
          {"normalizer", nullptr},
          {"pre_tokenizer", nullptr},
          {"post_processor", nullptr},
          {"decoder", {{"type", "Fuse"}}},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", "?"},
            {"fuse_unk", false},
            {"vocab", {{"?", 0}, {"a", 1}, {"b", 2}, {"c", 3}, {"ab", 4}, {"bc", 5}, {"abab", 6}, {"A", 7}, {" ", 8}}},
            {"merges", {"a b", "b c", "ab ab"}}}}};
}

Json unigram_file() {
  Json file = bpe_file();
  Json pieces = Json::array();
  for (const auto& [text, score] : std::vector<std::pair<std::string, double>>{
           {"<unk>", 0.0}, {"a", -1.0}, {"b", -1.0}, {"ab", -2.5}, {"ba", -1.5}, {"aba", -2.5}})
    pieces.push_back(Json::array({text, score}));
  file["model"] = {{"type", "Unigram"}, {"unk_id", 0}, {"vocab", pieces}};
  return file;
}

std::unique_ptr<Tokenizer> make(const Json& file, const DirectoryConfig& config = {}) {
  return tokenizer_from_json(file.dump(), config, "tokenizer.json");
}

TokenIds ids(const Json& file, const std::string& text) { return make(file)->encode(text); }

Json added(const std::string& content, const Json& flags = {}) {
  Json token{{"id", 9},         {"content", content},  {"single_word", false}, {"lstrip", false},
             {"rstrip", false}, {"normalized", false}, {"special", false}};
  if (!flags.is_null()) token.update(flags);
  return token;
}

void refuse(const Json& file, const std::string& message) {
  INFO(message);
  CHECK_THROWS_AS(make(file), DataError);
  CHECK_THROWS_WITH(make(file), Contains("tokenizer.json") && Contains(message));
}
}  // namespace

TEST_CASE("byte-pair encoding merges the lowest rank first, the leftmost of equals", "[tokenizer]") {
  CHECK(ids(bpe_file(), "abc") == TokenIds{4, 3});
  CHECK(ids(bpe_file(), "bc") == TokenIds{5});
  CHECK(ids(bpe_file(), "ababab") == TokenIds{6, 4});
  CHECK(ids(bpe_file(), "").empty());
  CHECK(ids(bpe_file(), "axxb") == TokenIds{1, 0, 0, 2});
  Json fused = bpe_file();
  fused["model"]["fuse_unk"] = true;
  CHECK(ids(fused, "axxb") == TokenIds{1, 0, 2});
  Json whole = bpe_file();
  whole["model"]["vocab"]["bca"] = 9;
  CHECK(ids(whole, "bca") == TokenIds{5, 1});
  whole["model"]["ignore_merges"] = true;
  CHECK(ids(whole, "bca") == TokenIds{9});
  Json dropped = bpe_file();
  dropped["model"]["unk_token"] = nullptr;
  CHECK(ids(dropped, "axb") == TokenIds{4});
  Json blanks = dropped;
  blanks["model"]["vocab"].update({{"\u2581", 9}, {"\u2581\u2581", 10}});
  blanks["model"]["merges"].push_back("\u2581 \u2581");
  CHECK(ids(blanks, "\u2581x\u2581a") == TokenIds{10, 1});
  dropped["model"]["unk_token"] = "nowhere";
  CHECK_THROWS_WITH(ids(dropped, "axb"),
                    Contains("'x' is not in the tokenizer's vocabulary, nor is its token for unknown"));
}

TEST_CASE("a unigram chooses the segmentation of the highest score", "[tokenizer]") {
  CHECK(ids(unigram_file(), "ab") == TokenIds{1, 2});   // -2 against -2.5
  CHECK(ids(unigram_file(), "aba") == TokenIds{5});     // -1 - 1.5 is as good as -2.5: the one found first stays
  CHECK(ids(unigram_file(), "bab") == TokenIds{4, 2});  // -2.5 against -3
  CHECK(ids(unigram_file(), "axyb") == TokenIds{1, 0, 2});
  Json without = unigram_file();
  without["model"]["unk_id"] = nullptr;
  CHECK(ids(without, "ab") == TokenIds{1, 2});
  CHECK_THROWS_WITH(ids(without, "x"), Contains("'x' is not in the vocabulary") && Contains("unk_id"));
  Json bytes = unigram_file();
  bytes["model"]["byte_fallback"] = true;
  for (const char* token : {"<0xC3>", "<0xA9>"}) bytes["model"]["vocab"].push_back(Json::array({token, -9.0}));
  CHECK(ids(bytes, "a\u00e9") == TokenIds{1, 6, 7});
  CHECK(ids(bytes, "a\u00e8") == TokenIds{1, 0});
}

TEST_CASE("scores are read as Hugging Face's tokenizers reads them, to the last bit", "[tokenizer]") {
  // Found by trial: tokenizers 0.23 takes ab c, whose sum is the larger one after its reader's rounding; of the nearest
  // doubles a bc is.
  Json file = unigram_file();
  Json pieces = Json::array();
  for (const auto& [text, score] : std::vector<std::pair<std::string, double>>{{"<unk>", -20.0},
                                                                               {"a", -9.076337582980383},
                                                                               {"b", -10.62423741838049},
                                                                               {"c", -11.817447488335532},
                                                                               {"ab", -10.143612713064638},
                                                                               {"bc", -12.884722618419786}})
    pieces.push_back(Json::array({text, score}));
  file["model"]["vocab"] = pieces;
  CHECK(ids(file, "abc") == TokenIds{4, 3});
}

TEST_CASE("added tokens are found as their flags say", "[tokenizer]") {
  const auto with = [](const Json& flags, const std::string& text) {
    Json file = bpe_file();
    file["added_tokens"] = {added("ca", flags)};
    return ids(file, text);
  };
  CHECK(with({}, "bcab") == TokenIds{2, 9, 2});
  CHECK(with({}, "a ca b") == TokenIds{1, 8, 9, 8, 2});
  CHECK(with({{"lstrip", true}}, "a ca b") == TokenIds{1, 9, 8, 2});
  CHECK(with({{"rstrip", true}}, "a ca b") == TokenIds{1, 8, 9, 2});
  CHECK(with({{"single_word", true}}, "bca ca") == TokenIds{5, 1, 8, 9});
  Json file = bpe_file();
  file["normalizer"] = {{"type", "Lowercase"}};
  file["added_tokens"] = {added("Ca", {{"normalized", true}})};
  CHECK(ids(file, "bCAb") == TokenIds{2, 9, 2});
  CHECK(make(file)->decode(TokenIds{1, 9}) == "aca");
  file["added_tokens"] = {added("CA", {{"special", true}}), added("CAC")};
  CHECK(ids(file, "CACA") == TokenIds{10, 1});  // the longest of those that start at one place
  CHECK(make(file)->decode(TokenIds{1, 9}, SpecialTokens::kKeep) == "aCA");
  CHECK(make(file)->decode(TokenIds{1, 9}) == "a");
  CHECK(make(file)->vocab_size() == 11);
}

// The ids of these three were asked of tokenizers 0.23.
TEST_CASE("added tokens of blanks share out the blanks that they take", "[tokenizer]") {
  Json file = bpe_file();
  file["added_tokens"] = {added("  ", {{"lstrip", true}, {"rstrip", true}})};
  CHECK(ids(file, "a    b") == TokenIds{1, 9, 2});  // the second one is left with nothing
  CHECK(ids(file, "     ") == TokenIds{9});
  file["added_tokens"] = {added("  ", {{"rstrip", true}})};
  CHECK(ids(file, "a    b") == TokenIds{1, 9, 9, 2});  // both begin where their text does
  file["added_tokens"] = {added("  ", {{"lstrip", true}})};
  CHECK(ids(file, "a     b") == TokenIds{1, 9, 9, 8, 2});
}

TEST_CASE("an added token of which the normalizer leaves nothing cuts the text everywhere", "[tokenizer]") {
  Json file = bpe_file();
  file["normalizer"] = {{"type", "Strip"}, {"strip_left", true}, {"strip_right", true}};
  file["added_tokens"] = {added("  ", {{"normalized", true}})};
  CHECK(ids(file, "ab") == TokenIds{1, 2});
  CHECK(ids(file, "").empty());
  file["added_tokens"] = {added("  ", {{"normalized", true}, {"rstrip", true}}), added("ca", {{"normalized", true}})};
  CHECK(ids(file, "ca  b") == TokenIds{10, 8, 9, 2});  // not right behind another token
  CHECK(ids(file, "a cab") == TokenIds{1, 9, 10, 2});
  file["added_tokens"][0]["lstrip"] = true;
  CHECK(ids(file, "aca  cab") == TokenIds{1, 10, 9, 10, 2});
}

TEST_CASE("words of the tokenizer's own have joiners in them but no fractions", "[tokenizer]") {
  Json file = bpe_file();
  file["added_tokens"] = {added("ca", {{"single_word", true}})};
  CHECK(ids(file, "\u00bdca") == TokenIds{0, 9});
  CHECK(ids(file, "\u200dca") == TokenIds{0, 3, 1});
  file["pre_tokenizer"] = {{"type", "Whitespace"}};
  file["model"]["fuse_unk"] = true;
  CHECK(ids(file, "\u00bd\u00e9\u200d\u00e8 \u00bd\u00b2.") == TokenIds{0, 0, 0});
}

TEST_CASE("only what is made of a text's first character gets the first word's blank", "[tokenizer]") {
  const auto encode = [](const Json& normalizer, const std::string& text) {
    Json file = bpe_file();
    file["model"]["vocab"]["\u2581"] = 9;
    file["normalizer"] = normalizer;
    file["pre_tokenizer"] = {
        {"type", "Sequence"},
        {"pretokenizers",
         {{{"type", "Split"}, {"pattern", {{"String", "c"}}}, {"behavior", "Isolated"}, {"invert", false}},
          {{"type", "Metaspace"}, {"replacement", "\u2581"}, {"prepend_scheme", "first"}, {"split", false}}}}};
    return ids(file, text);
  };
  const auto after_nfkd = [](const Json& step) -> Json {
    return {{"type", "Sequence"}, {"normalizers", {{{"type", "NFKD"}}, step}}};
  };
  const std::string two = "\u33c4";  // becomes cc
  CHECK(encode({{"type", "NFKD"}}, two + "a") == TokenIds{9, 3, 9, 3, 1});
  CHECK(encode({{"type", "NFKC"}}, two + "c") == TokenIds{9, 3, 9, 3, 3});
  CHECK(encode({{"type", "NFKC"}}, "a" + two) == TokenIds{9, 1, 3, 3});
  const Json replace{{"type", "Replace"}, {"pattern", {{"String", "c"}}}, {"content", "ac"}};
  CHECK(encode(after_nfkd(replace), two + "a") == TokenIds{9, 1, 9, 3, 9, 1, 9, 3, 1});
  CHECK(encode(after_nfkd({{"type", "Prepend"}, {"prepend", "b"}}), two + "a") == TokenIds{9, 2, 9, 3, 9, 3, 1});
  CHECK(encode(after_nfkd({{"type", "Lowercase"}}), two + "a") == TokenIds{9, 3, 9, 3, 1});
  CHECK(encode(after_nfkd({{"type", "Nmt"}}), "\x01" + two + "a") == TokenIds{3, 3, 1});
  CHECK(encode(after_nfkd({{"type", "Strip"}, {"strip_left", true}, {"strip_right", false}}), " " + two) ==
        TokenIds{3, 3});
}

TEST_CASE("special tokens of the configuration are known, and added where they are new", "[tokenizer]") {
  DirectoryConfig config;
  AddedToken eos{.content = "<end>", .normalized = false, .special = true};
  config.specials.push_back({"eos_token", eos});
  config.bos_id = 4;
  const auto tokenizer = make(bpe_file(), config);
  CHECK(tokenizer->eos() == 9);
  CHECK(tokenizer->bos() == 4);
  CHECK_FALSE(tokenizer->pad().has_value());
  CHECK(tokenizer->encode("ab<end>") == TokenIds{4, 9});
  CHECK(tokenizer->token(9) == "<end>");
  CHECK(tokenizer->decode(TokenIds{4, 9, 77}) == "ab");  // a model may have rows behind the vocabulary
  CHECK_THROWS_AS(tokenizer->decode(TokenIds{-1}), DataError);
  CHECK(tokenizer->identity() != make(unigram_file())->identity());
}

// Ids asked of transformers 5.17's AutoTokenizer.
TEST_CASE("around a file's vocabulary stand the parts of the class that the directory names", "[tokenizer]") {
  Json file = bpe_file();
  file["model"]["vocab"]["\u2581"] = 9;
  const Json prepend{{"type", "Prepend"}, {"prepend", "\u2581"}};
  const Json replace{{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\u2581"}};
  file["normalizer"] = {{"type", "Sequence"}, {"normalizers", {prepend, replace}}};
  const auto encode = [&](const DirectoryConfig& config, const std::string& text) {
    return make(file, config)->encode(text);
  };
  CHECK(encode({}, " ab") == TokenIds{9, 9, 4});
  CHECK(encode({.model_type = "mistral"}, "xab") == TokenIds{9, 0, 4});
  const DirectoryConfig llama{.tokenizer_class = "LlamaTokenizer"};
  CHECK(encode(llama, " ab") == TokenIds{9, 4});
  CHECK(encode(llama, "ab<s>ab") == TokenIds{9, 4, 10, 4});
  CHECK(make(file, llama)->decode(TokenIds{9, 4, 10, 4}, SpecialTokens::kKeep) == "ab<s>ab");
  CHECK(make(file, llama)->vocab_size() == 13);
  CHECK(encode({.tokenizer_class = "LlamaTokenizer", .model_type = "mistral"}, " ab") == TokenIds{9, 9, 4});
  CHECK(encode({.tokenizer_class = "LlamaTokenizer", .legacy = true}, "ab<s>ab") == TokenIds{9, 4, 10, 9, 4});
  CHECK(encode({.tokenizer_class = "LlamaTokenizer", .add_prefix_space = false}, "ab<s> ab") == TokenIds{4, 10, 9, 4});
  CHECK(encode({.tokenizer_class = "Qwen2Tokenizer"}, "xab<|endoftext|>") == TokenIds{4, 10});
  CHECK(encode({.tokenizer_class = "GPT2Tokenizer"}, "ab'sab") == TokenIds{4, 4});
  file = unigram_file();
  file["model"]["vocab"][4] = {"\u2581", -1.5};
  file["model"]["vocab"][5] = {"\u2581a", -1.7};
  CHECK(encode({.tokenizer_class = "PreTrainedTokenizer"}, "ab  xa") == TokenIds{1, 2, 0, 1});
  const DirectoryConfig t5{.tokenizer_class = "T5Tokenizer", .extra_ids = 2};
  CHECK(encode(t5, "ab  xa") == TokenIds{5, 2, 4, 2, 1});
  CHECK(encode(t5, "<extra_id_1>a") == TokenIds{9, 5});
  CHECK(make(file, t5)->with_special({1}) == TokenIds{1, 6});
  CHECK(make(file, t5)->vocab_size() == 10);
}

TEST_CASE("a continuation gets no blank in front", "[tokenizer]") {
  Json file = bpe_file();
  file["model"]["vocab"]["\u2581"] = 9;
  file["pre_tokenizer"] = {
      {"type", "Metaspace"}, {"replacement", "\u2581"}, {"prepend_scheme", "first"}, {"split", false}};
  CHECK(make(file)->encode("a b") == TokenIds{9, 1, 9, 2});
  CHECK(make(file)->encode_continuation("a b") == TokenIds{1, 9, 2});
  CHECK(make(file)->encode_continuation(" b") == TokenIds{9, 2});
  file["pre_tokenizer"] = nullptr;
  file["normalizer"] = {{"type", "Prepend"}, {"prepend", "\u2581"}};
  CHECK(make(file)->encode("ab") == TokenIds{9, 4});
  CHECK(make(file)->encode_continuation("ab") == TokenIds{4});
}

TEST_CASE("text that is no UTF-8 is refused", "[tokenizer]") {
  CHECK_THROWS_WITH(ids(bpe_file(), "ab\xff"), Contains("byte 2 (0xFF) is not part of valid UTF-8"));
  CHECK_THROWS_AS(ids(bpe_file(), "\xed\xa0\x80"), DataError);
}

TEST_CASE("what is not supported is refused by its name", "[tokenizer]") {
  const auto with = [](const Json::json_pointer& at, const Json& value) {
    Json file = bpe_file();
    file[at] = value;
    return file;
  };
  using P = Json::json_pointer;
  refuse(with(P("/version"), "2.0"), "version is '2.0'; expected 1.0");
  refuse(with(P("/novelty"), 1), "novelty is not supported: found 1");
  refuse(with(P("/model/type"), "WordPiece"), "model.type 'WordPiece' is not supported; expected BPE or Unigram");
  refuse(with(P("/model/dropout"), 0.1), "model.dropout is 0.1, which makes ids random");
  refuse(with(P("/model/end_of_word_suffix"), "</w>"), "model.end_of_word_suffix is not supported");
  refuse(with(P("/model/novelty"), true), "model.novelty is not supported: found true");
  refuse(with(P("/model/merges/0"), "a"), "model.merges holds \"a\"; expected two tokens");
  refuse(with(P("/model/merges/0"), "a z"), "model.merges[0]: 'z' is not in the vocabulary");
  refuse(with(P("/model/vocab/a"), 5), "have the same id 5");
  refuse(with(P("/model/vocab/a"), -1), "gives 'a' the id -1");
  refuse(with(P("/model/vocab/a"), 16000000), "gives 'a' the id 16000000, but has 9 tokens");
  refuse(with(P("/normalizer"), {{"type", "BertNormalizer"}}), "normalizer.type 'BertNormalizer' is not supported");
  refuse(with(P("/normalizer"), {{"type", "NFC"}, {"level", 3}}), "normalizer.level is not supported: found 3");
  refuse(with(P("/normalizer"), {{"type", "Sequence"}, {"normalizers", {{{"type", "Strip"}}}}}),
         "normalizer.normalizers[0].strip_left is missing");
  refuse(with(P("/normalizer"), {{"type", "Precompiled"}, {"precompiled_charsmap", "####"}}),
         "normalizer.precompiled_charsmap is not base64");
  refuse(with(P("/normalizer"), {{"type", "Precompiled"}, {"precompiled_charsmap", "/////w=="}}),
         "the character map of 4 bytes says that its trie has 4294967295 bytes");
  refuse(with(P("/pre_tokenizer"), {{"type", "BertPreTokenizer"}}),
         "pre_tokenizer.type 'BertPreTokenizer' is not supported");
  refuse(with(P("/pre_tokenizer"), {{"type", "Punctuation"}, {"behavior", "Doubled"}}),
         "pre_tokenizer.behavior is 'Doubled'; expected one of Isolated, Removed");
  refuse(with(P("/pre_tokenizer"),
              {{"type", "Split"}, {"pattern", {{"Regex", "(a"}}}, {"behavior", "Removed"}, {"invert", false}}),
         "pre_tokenizer.pattern: the pattern '(a' does not compile: missing closing parenthesis");
  refuse(with(P("/decoder"), {{"type", "CTC"}}), "decoder.type 'CTC' is not supported");
  refuse(with(P("/post_processor"), {{"type", "Other"}}), "post_processor.type 'Other' is not supported");
  refuse(with(P("/post_processor"), {{"type", "TemplateProcessing"},
                                     {"single", Json::array()},
                                     {"pair", Json::array()},
                                     {"special_tokens", Json::object()}}),
         "post_processor.single lacks the text, A");
  const Json around{{"type", "BertProcessing"}, {"sep", {"a", 1}}, {"cls", {"b", 2}}};
  refuse(with(P("/post_processor"), {{"type", "Sequence"}, {"processors", {around, around}}}),
         "post_processor.processors has two that add tokens, which is not supported");
  refuse(with(P("/added_tokens"), {{{"content", "x"}}}), "added_tokens.single_word is missing");
}

TEST_CASE("files that are cut off, nested or no JSON are refused", "[tokenizer][property]") {
  const std::string whole = bpe_file().dump();
  for (std::size_t size = 0; size < whole.size(); ++size)
    CHECK_THROWS_AS(tokenizer_from_json(whole.substr(0, size), {}, "tokenizer.json"), DataError);
  CHECK_THROWS_WITH(tokenizer_from_json(whole.substr(0, 40), {}, "tokenizer.json"),
                    Contains("is not JSON (cut off or damaged?)"));
  CHECK_THROWS_WITH(tokenizer_from_json(std::string(100000, '['), {}, "tokenizer.json"),
                    Contains("is nested 100000 deep"));
  CHECK_THROWS_WITH(tokenizer_from_json("[]", {}, "tokenizer.json"), Contains("is not a JSON object"));
}

TEST_CASE("a file cannot make a text or its own steps explode", "[tokenizer]") {
  const Json doubled{{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", "aa"}};
  Json file = bpe_file();
  file["normalizer"] = {{"type", "Sequence"}, {"normalizers", std::vector<Json>(60, doubled)}};
  CHECK_THROWS_WITH(ids(file, "a"), Contains("normalizer makes more than 65792 bytes of a text"));
  file["normalizer"] = nullptr;
  file["decoder"] = {{"type", "Sequence"}, {"decoders", std::vector<Json>(60, doubled)}};
  CHECK_THROWS_WITH(make(file)->decode(TokenIds{1}), Contains("decoder makes more than"));
  file["decoder"] = {{"type", "Sequence"}, {"decoders", std::vector<Json>(1000, doubled)}};
  refuse(file, "decoder has more than 1000 parts");
}
