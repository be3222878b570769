#include "core/model/config.h"

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/random.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"

using namespace mneme;
using namespace mneme::model;
namespace fs = std::filesystem;
using Json = nlohmann::json;

namespace {

Json plain() {
  return {{"model_type", "llama"},       {"vocab_size", 100},         {"hidden_size", 64},
          {"intermediate_size", 96},     {"num_hidden_layers", 2},    {"num_attention_heads", 4},
          {"num_key_value_heads", 2},    {"rope_theta", 5000.0},      {"rms_norm_eps", 1e-5},
          {"tie_word_embeddings", true}, {"eos_token_id", {7, 8, 9}}, {"bos_token_id", 1}};
}

TransformerConfig read_text(const std::string& text) {
  const test::TemporaryDirectory directory;
  write_file_atomically(directory / "config.json", text);
  return read_config(directory / "config.json");
}

TransformerConfig read(const Json& json) { return read_text(json.dump()); }

std::string error_of(const Json& json) {
  try {
    read(json);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a config is read with its defaults", "[config]") {
  const TransformerConfig c = read(plain());
  CHECK(c.vocab_size == 100);
  CHECK(c.head_dim == 16);
  CHECK(c.num_key_value_heads == 2);
  CHECK(c.rope_theta == 5000);
  CHECK(c.rms_norm_eps == 1e-5);
  CHECK(c.tie_word_embeddings);
  CHECK(c.bos_token_id == 1);
  CHECK(c.eos_token_ids == std::vector<std::int32_t>{7, 8, 9});
  CHECK_FALSE(c.pad_token_id);
  CHECK(c.rope_scaling.type == "none");
  Json json = plain();
  json["num_key_value_heads"] = nullptr;
  json["head_dim"] = 32;
  CHECK(read(json).num_key_value_heads == 4);
  CHECK(read(json).head_dim == 32);
}

TEST_CASE("both forms of rotary parameters are read", "[config]") {
  Json json = plain();
  json["rope_scaling"] = {{"type", "linear"}, {"factor", 4.0}};
  CHECK(read(json).rope_scaling.type == "linear");
  CHECK(read(json).rope_scaling.factor == 4);
  CHECK(read(json).rope_theta == 5000);
  json.erase("rope_scaling");
  json.erase("rope_theta");
  json["rope_parameters"] = {{"rope_type", "llama3"},   {"rope_theta", 9.0},
                             {"factor", 8.0},           {"low_freq_factor", 1.0},
                             {"high_freq_factor", 4.0}, {"original_max_position_embeddings", 77}};
  const TransformerConfig c = read(json);
  CHECK(c.rope_theta == 9);
  CHECK(c.rope_scaling.type == "llama3");
  CHECK(c.rope_scaling.original_max_position_embeddings == 77);
}

TEST_CASE("scalings of rotary parameters are read as transformers reads them", "[config]") {
  Json json = plain();
  json["rope_scaling"] = {{"rope_type", "linear"}, {"factor", 4.0}};
  json["rope_parameters"] = {{"rope_type", "linear"}, {"factor", 2.0}, {"rope_theta", 9.0}};
  CHECK(read(json).rope_scaling.factor == 4);
  CHECK(read(json).rope_theta == 5000);
  json["rope_scaling"] = Json::object();
  CHECK(read(json).rope_scaling.factor == 2);
  json.erase("rope_scaling");
  json["rope_parameters"].erase("factor");
  CHECK_THAT(error_of(json), Catch::Contains("field 'factor' is missing"));
  json["max_position_embeddings"] = 77;
  json["rope_parameters"] = {
      {"rope_type", "llama3"}, {"factor", 8.0}, {"low_freq_factor", 1.0}, {"high_freq_factor", 4.0}};
  CHECK(read(json).rope_scaling.original_max_position_embeddings == 77);
}

TEST_CASE("generation_config.json says alone what ends an answer", "[config]") {
  const test::TemporaryDirectory directory;
  write_file_atomically(directory / "config.json", plain().dump());
  const auto ends = [&](const char* text) {
    write_file_atomically(directory / "generation_config.json", text);
    return read_config(directory / "config.json").eos_token_ids;
  };
  using Ids = std::vector<std::int32_t>;
  CHECK(ends(R"({"eos_token_id": [4, 5]})") == Ids{4, 5});
  CHECK(ends(R"({"eos_token_id": 6, "temperature": 0.6})") == Ids{6});
  CHECK(ends(R"({"eos_token_id": null})").empty());
  CHECK_THROWS_WITH(ends(R"({"eos_token_id": [4, 100]})"),
                    Catch::Contains("generation_config.json: field 'eos_token_id' is [4,100]; expected less than"));
  CHECK_THROWS_WITH(ends(R"({"eos_token_id": ["4"]})"), Catch::Contains("expected a token id or a list of them"));
  CHECK_THROWS_WITH(ends("[]"), Catch::Contains("generation_config.json: is not a JSON object"));
}

TEST_CASE("what the blocks cannot compute is refused by name", "[config]") {
  const auto with = [](const char* key, Json value) {
    Json json = plain();
    json[key] = std::move(value);
    return error_of(json);
  };
  CHECK_THAT(with("model_type", "mamba"),
             Catch::Contains("field 'model_type' is 'mamba'; supported are 'llama', 'mistral'"));
  CHECK_THAT(with("hidden_act", "tanh"), Catch::Contains("field 'hidden_act' is \"tanh\"; supported are silu"));
  CHECK_THAT(with("sliding_window", 4096), Catch::Contains("field 'sliding_window' is 4096; this family has none"));
  CHECK_THAT(with("quantization_config", Json::object()), Catch::Contains("quantization_config"));
  CHECK_THAT(with("partial_rotary_factor", 0.5), Catch::Contains("partial_rotary_factor"));
  CHECK_THAT(with("rope_scaling", {{"type", "yarn"}}),
             Catch::Contains("field 'type' is \"yarn\"; supported are default, linear and llama3"));
}

TEST_CASE("fields that a family does not have are refused, and mixed attention", "[config]") {
  const auto with = [](const char* family, Json more) {
    Json json = plain();
    json["model_type"] = family;
    json.update(more);
    return error_of(json);
  };
  CHECK_THAT(with("qwen2", {{"attention_bias", true}}), Catch::Contains("field 'attention_bias' is true; this family"));
  CHECK_THAT(with("mistral", {{"mlp_bias", true}}), Catch::Contains("field 'mlp_bias' is true; this family"));
  CHECK_THAT(with("mistral", {{"sliding_window", 0}}), Catch::Contains("field 'sliding_window' is 0"));
  CHECK_THAT(with("qwen3", {{"use_sliding_window", true}, {"sliding_window", 8}, {"max_window_layers", 1}}),
             Catch::Contains("field 'max_window_layers' is 1"));
  CHECK_THAT(with("qwen2", {{"use_sliding_window", true},
                            {"sliding_window", 8},
                            {"layer_types", {"full_attention", "sliding_attention"}}}),
             Catch::Contains("field 'layer_types'"));
  CHECK_THAT(with("llama", {{"rope_scaling", {{"rope_type", "linear"}, {"factor", 2.0}, {"beta_fast", 3}}}}),
             Catch::Contains("field 'beta_fast' is 3; rope scaling of type 'linear' has no such field"));
}

TEST_CASE("families differ by what their configs mean", "[config]") {
  const auto of = [](const char* family, Json more) {
    Json json = plain();
    json["model_type"] = family;
    json.update(more);
    return read(json);
  };
  CHECK(of("llama", {{"attention_bias", true}}).out_bias);
  CHECK(of("llama", {{"mlp_bias", true}}).mlp_bias);
  CHECK(of("mistral", {{"sliding_window", 9}}).sliding_window == 9);
  CHECK(of("mistral", {{"sliding_window", nullptr}}).sliding_window == 0);
  CHECK(of("mistral", Json::object()).sliding_window == 4096);
  CHECK((of("qwen2", Json::object()).qkv_bias && !of("qwen2", Json::object()).out_bias));
  CHECK(of("qwen2", {{"sliding_window", 9}}).sliding_window == 0);
  CHECK(of("qwen2", {{"use_sliding_window", true}, {"sliding_window", 9}, {"max_window_layers", 0}}).sliding_window ==
        9);
  CHECK(of("qwen2", {{"use_sliding_window", true}, {"max_window_layers", 0}}).sliding_window == 4096);
  CHECK((of("qwen3", Json::object()).qk_norm && of("qwen3", Json::object()).head_dim == 128));
}

namespace {
Json plain_t5() {
  return {{"model_type", "t5"}, {"vocab_size", 100}, {"d_model", 64}, {"d_kv", 12},
          {"d_ff", 96},         {"num_layers", 2},   {"num_heads", 4}};
}
}  // namespace

TEST_CASE("a T5 config is read with its defaults and variants", "[config]") {
  const TransformerConfig c = read(plain_t5());
  CHECK((c.encoder_decoder() && !c.rotary()));
  CHECK(c.num_decoder_layers == 2);
  CHECK(c.head_dim == 12);
  CHECK((c.hidden_act == "relu" && !c.gated_mlp));
  CHECK(c.scale_decoder_outputs);
  CHECK(c.relative_attention_num_buckets == 32);
  const auto with = [](Json more) {
    Json json = plain_t5();
    json.update(more);
    return json;
  };
  const TransformerConfig flan = read(with({{"feed_forward_proj", "gated-gelu"}, {"tie_word_embeddings", false}}));
  CHECK((flan.hidden_act == "gelu_tanh" && flan.gated_mlp && !flan.scale_decoder_outputs));
  // As transformers 5 writes it: tied by name, not scaled.
  CHECK_FALSE(read(with({{"tie_word_embeddings", true}, {"scale_decoder_outputs", false}})).scale_decoder_outputs);
  CHECK(read(with({{"feed_forward_proj", "gelu"}})).hidden_act == "gelu");
  CHECK_THAT(error_of(with({{"feed_forward_proj", "gated-mish"}})), Catch::Contains("field 'feed_forward_proj'"));
  const TransformerConfig said = read(with({{"dense_act_fn", "gelu"}, {"is_gated_act", true}}));
  CHECK((said.hidden_act == "gelu" && said.gated_mlp));
  CHECK_THAT(error_of(with({{"dense_act_fn", "mish"}})), Catch::Contains("field 'dense_act_fn' is \"mish\""));
  CHECK_THAT(error_of(with({{"relative_attention_num_buckets", 3}})),
             Catch::Contains("field 'relative_attention_num_buckets' is 3; expected at least 4"));
  CHECK_THAT(error_of(with({{"relative_attention_max_distance", 16}})),
             Catch::Contains("field 'relative_attention_max_distance' is 16; expected more than half"));
  CHECK_THAT(error_of(with({{"d_kv", 0}})), Catch::Contains("field 'd_kv' is 0"));
  CHECK_THAT(error_of(with({{"decoder_start_token_id", 100}})), Catch::Contains("field 'decoder_start_token_id'"));
  const test::TemporaryDirectory directory;
  write_config(flan, directory / "config.json");
  const TransformerConfig again = read_config(directory / "config.json");
  write_config(said, directory / "config.json");
  CHECK(read_config(directory / "config.json").hidden_act == "gelu");
  CHECK((again.hidden_act == "gelu_tanh" && again.gated_mlp && !again.scale_decoder_outputs));
  CHECK(again.num_decoder_layers == 2);
}

TEST_CASE("sizes that do not fit or are absurd are refused by name", "[config]") {
  const auto with = [](const char* key, Json value) {
    Json json = plain();
    json[key] = std::move(value);
    return error_of(json);
  };
  CHECK_THAT(with("num_key_value_heads", 3), Catch::Contains("field 'num_key_value_heads' is 3; expected a divisor"));
  CHECK_THAT(with("vocab_size", 0), Catch::Contains("field 'vocab_size' is 0; expected 1 to"));
  CHECK_THAT(with("vocab_size", 1e30), Catch::Contains("field 'vocab_size'"));
  CHECK_THAT(with("hidden_size", -64), Catch::Contains("field 'hidden_size' is -64"));
  CHECK_THAT(with("num_attention_heads", 0), Catch::Contains("field 'num_attention_heads' is 0"));
  CHECK_THAT(with("head_dim", 15), Catch::Contains("rotary positions need an even number"));
  CHECK_THAT(with("num_hidden_layers", 18446744073709551615u), Catch::Contains("this is too large"));
  CHECK_THAT(with("eos_token_id", 100), Catch::Contains("field 'eos_token_id' is 100; expected less than vocab_size"));
  CHECK_THAT(with("hidden_size", "64"), Catch::Contains("field 'hidden_size' is \"64\"; expected an integer"));
  Json json = plain();
  json.erase("intermediate_size");
  CHECK_THAT(error_of(json), Catch::Contains("field 'intermediate_size' is missing"));
}

TEST_CASE("a text that is no config is refused", "[config]") {
  for (const char* text : {"[1]", "null"})
    CHECK_THROWS_WITH(read_text(text), Catch::Contains("config.json: is not a JSON object"));
  for (const char* text : {"", "{\"model_type\":", "{\"model_type\": \"\xff\"}", "{\"vocab_size\": NaN}"})
    CHECK_THROWS_WITH(read_text(text),
                      Catch::Contains("config.json: is not JSON (cut off or damaged?): parse error at") &&
                          !Catch::Contains("json.exception"));
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  CHECK_THROWS_WITH(read_text("{\"model_type\": " + deep + "}"),
                    Catch::Contains("is nested 100001 deep; expected at most"));
}

TEST_CASE("a damaged config is read or refused, whatever it holds", "[config]") {
  RandomStream random(4, "damage");
  const std::vector<std::string> values = {"null", "-1", "0",  "1e308", "18446744073709551615", "\"\"",
                                           "[[]]", "{}", "[]", "true",  "[1,-5,\"a\"]",         "\"\\ud800\""};
  std::int64_t refused = 0;
  const auto try_text = [&](const std::string& text) {
    try {
      read_text(text);
    } catch (const Error&) {
      ++refused;
    }
  };
  for (const Json& whole : {plain(), plain_t5()}) {
    std::vector<std::string> keys = {"rope_scaling", "rope_parameters", "layer_types", "sliding_window",
                                     "dense_act_fn"};
    for (const auto& [key, value] : whole.items()) keys.push_back(key);
    for (const std::string& key : keys) {
      for (const std::string& value : values) {
        Json json = whole;
        json[key] = nullptr;
        std::string text = json.dump();
        const std::string empty = "\"" + key + "\":null";
        try_text(text.replace(text.find(empty), empty.size(), "\"" + key + "\":" + value));
      }
    }
    for (int i = 0; i < 500; ++i) {
      std::string text = whole.dump();
      for (std::uint64_t changes = 1 + random.below(3); changes > 0; --changes)
        text[random.below(text.size())] = static_cast<char>(random.below(256));
      try_text(i % 5 == 0 ? text.substr(0, random.below(text.size())) : text);
    }
  }
  CHECK(refused > 500);
}

TEST_CASE("a written config is read back the same", "[config]") {
  TransformerConfig c = read(plain());
  c.rope_scaling = {.type = "llama3",
                    .factor = 8,
                    .low_freq_factor = 2,
                    .high_freq_factor = 5,
                    .original_max_position_embeddings = 99};
  const test::TemporaryDirectory directory;
  write_config(c, directory / "config.json");
  const TransformerConfig d = read_config(directory / "config.json");
  CHECK(d.hidden_size == c.hidden_size);
  CHECK(d.head_dim == c.head_dim);
  CHECK(d.rope_theta == c.rope_theta);
  CHECK(d.rope_scaling.type == "llama3");
  CHECK(d.rope_scaling.low_freq_factor == 2);
  CHECK(d.rope_scaling.original_max_position_embeddings == 99);
  CHECK(d.tie_word_embeddings);
  CHECK(d.eos_token_ids == c.eos_token_ids);
  CHECK(d.pad_token_id == c.pad_token_id);
}
