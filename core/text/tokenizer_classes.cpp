#include "core/text/tokenizer_classes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace mneme::text {

namespace {
constexpr const char* kBlank = "\u2581";
constexpr const char* kQwen2Pattern =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

Json byte_level(bool prefix, bool splits) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", prefix}, {"use_regex", splits}};
}

Json metaspace(const char* scheme, bool splits) {
  return {{"type", "Metaspace"}, {"replacement", kBlank}, {"prepend_scheme", scheme}, {"split", splits}};
}

/// The character map among the normalizers; null if there is none.
Json character_map(const Json& normalizer) {
  if (!normalizer.is_object()) return nullptr;
  const auto list = normalizer.find("normalizers");
  const Json steps = list != normalizer.end() && list->is_array() ? *list : Json::array({normalizer});
  const auto map = std::find_if(steps.begin(), steps.end(), [](const Json& step) {
    return step.is_object() && step.contains("type") && step["type"] == "Precompiled";
  });
  return map == steps.end() ? Json() : *map;
}

void put_bpe(Json& model, bool byte_fallback, bool fuse_unknown) {
  model.update({{"unk_token", nullptr},
                {"byte_fallback", byte_fallback},
                {"fuse_unk", fuse_unknown},
                {"ignore_merges", false},
                {"dropout", nullptr},
                {"continuing_subword_prefix", nullptr},
                {"end_of_word_suffix", nullptr}});
}

void put_t5(Json& file) {
  file["normalizer"] = file.contains("normalizer") ? character_map(file["normalizer"]) : Json();
  file["pre_tokenizer"] = t5_pre_tokenizer();
  file["decoder"] = t5_decoder();
  file["model"].update({{"unk_id", 2}, {"byte_fallback", false}});
}

void put_llama(Json& file, const DirectoryConfig& config) {
  file["normalizer"] = nullptr;
  file["pre_tokenizer"] = llama_pre_tokenizer(config);
  file["decoder"] = llama_decoder(config);
  put_bpe(file["model"], true, true);
}

void put_gpt2(Json& file, const DirectoryConfig& config) {
  file["normalizer"] = nullptr;
  file["pre_tokenizer"] = byte_level(config.add_prefix_space.value_or(false), true);
  file["decoder"] = {{"type", "ByteLevel"}};
  put_bpe(file["model"], false, false);
}

void put_qwen2(Json& file, const DirectoryConfig& config) {
  const Json split{
      {"type", "Split"}, {"pattern", {{"Regex", kQwen2Pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
  put_gpt2(file, config);
  file["normalizer"] = {{"type", "NFC"}};
  file["pre_tokenizer"] = {{"type", "Sequence"},
                           {"pretokenizers", {split, byte_level(config.add_prefix_space.value_or(false), false)}}};
}
}  // namespace

Json llama_pre_tokenizer(const DirectoryConfig& config) {
  if (!config.add_prefix_space.value_or(true)) return metaspace("never", false);
  return metaspace(config.legacy.value_or(false) ? "always" : "first", false);
}

Json llama_decoder(const DirectoryConfig& config) {
  Json steps{{{"type", "Replace"}, {"pattern", {{"String", kBlank}}}, {"content", " "}},
             {{"type", "ByteFallback"}},
             {{"type", "Fuse"}}};
  if (config.add_prefix_space.value_or(true))
    steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {{"type", "Sequence"}, {"decoders", steps}};
}

Json t5_pre_tokenizer() {
  return {{"type", "Sequence"}, {"pretokenizers", {{{"type", "WhitespaceSplit"}}, metaspace("always", true)}}};
}

Json t5_decoder() { return metaspace("always", true); }

void add_class_specials(DirectoryConfig& config, const std::string& class_name) {
  struct Special {
    std::string_view class_name, name, content;
  };
  static constexpr std::array<Special, 12> kSpecials{{{"T5Tokenizer", "eos_token", "</s>"},
                                                      {"T5Tokenizer", "unk_token", "<unk>"},
                                                      {"T5Tokenizer", "pad_token", "<pad>"},
                                                      {"LlamaTokenizer", "bos_token", "<s>"},
                                                      {"LlamaTokenizer", "eos_token", "</s>"},
                                                      {"LlamaTokenizer", "unk_token", "<unk>"},
                                                      {"Qwen2Tokenizer", "eos_token", "<|endoftext|>"},
                                                      {"Qwen2Tokenizer", "unk_token", "<|endoftext|>"},
                                                      {"Qwen2Tokenizer", "pad_token", "<|endoftext|>"},
                                                      {"GPT2Tokenizer", "bos_token", "<|endoftext|>"},
                                                      {"GPT2Tokenizer", "eos_token", "<|endoftext|>"},
                                                      {"GPT2Tokenizer", "unk_token", "<|endoftext|>"}}};
  const auto add = [&](const std::string& name, std::string content) {
    if (config.special(name) != nullptr) return;
    DirectoryConfig::Special special{name, {}};
    special.token.content = std::move(content);
    special.token.special = true;
    special.token.normalized = false;
    config.specials.push_back(std::move(special));
  };
  for (const Special& special : kSpecials)
    if (special.class_name == class_name) add(std::string(special.name), std::string(special.content));
  if (class_name != "T5Tokenizer") return;
  for (std::int64_t i = 0; i < config.extra_ids.value_or(kT5Sentinels); ++i)
    add(fmt::format("extra_id_{}", i), fmt::format("<extra_id_{}>", i));
}

std::string put_class_parts(Json& file, const DirectoryConfig& config) {
  // Of models for which transformers knows no class it takes the file, whatever class the directory names.
  static constexpr std::array kWithoutClass{"mistral", "mixtral", "umt5"};
  const auto model = file.find("model");
  if (std::find(kWithoutClass.begin(), kWithoutClass.end(), config.model_type) != kWithoutClass.end() ||
      model == file.end() || !model->is_object())
    return "";
  const std::string& name = config.tokenizer_class;
  const bool byte_pairs = model->contains("merges");
  if (name == "T5Tokenizer" && !byte_pairs) {
    put_t5(file);
  } else if (name == "LlamaTokenizer" && byte_pairs) {
    put_llama(file, config);
  } else if (name == "Qwen2Tokenizer" && byte_pairs) {
    put_qwen2(file, config);
  } else if (name == "GPT2Tokenizer" && byte_pairs) {
    put_gpt2(file, config);
  } else {
    return "";
  }
  return name;
}

}  // namespace mneme::text
