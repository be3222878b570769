#include "core/run/vocabulary/learnt_tokenizer.h"

#include <dlfcn.h>

#include <nlohmann/json.hpp>
#include <unordered_map>

#include "core/base/error.h"
#include "core/base/file.h"

namespace mneme::run {

namespace {
using LearnVocabulary = void (*)(const std::unordered_map<std::string, std::string>& settings,
                                 const std::vector<std::string>& texts, std::string& model, std::string& error);

/// The trainer of SentencePiece, see vocabulary.cpp; it stays open.
LearnVocabulary vocabulary_trainer() {
  const auto file = program_directory().parent_path() / "lib/mneme/vocabulary.so";
  void* module = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
  void* learn = module == nullptr ? nullptr : ::dlsym(module, "mneme_learn_vocabulary");
  MNEME_CHECK(learn != nullptr, "vocabulary: SentencePiece's trainer cannot be opened: {}", ::dlerror());
  return reinterpret_cast<LearnVocabulary>(learn);
}
}  // namespace

void write_learnt_tokenizer(const std::filesystem::path& directory, const std::vector<std::string>& texts,
                            std::int64_t pieces, bool encoder_decoder) {
  std::unordered_map<std::string, std::string> settings = {
      {"vocab_size", std::to_string(pieces)}, {"max_sentence_length", "1000000"}, {"minloglevel", "1"}};
  nlohmann::ordered_json config;
  if (encoder_decoder) {
    settings.insert({{"model_type", "unigram"}, {"pad_id", "0"}, {"eos_id", "1"}, {"unk_id", "2"}, {"bos_id", "-1"}});
    config = {{"tokenizer_class", "T5Tokenizer"}, {"extra_ids", 0}, {"pad_token", "<pad>"}};
  } else {
    settings.insert({{"model_type", "bpe"},
                     {"byte_fallback", "true"},
                     {"character_coverage", "0.99"},
                     {"normalization_rule_name", "identity"},
                     {"remove_extra_whitespaces", "false"},
                     {"unk_id", "0"},
                     {"bos_id", "1"},
                     {"eos_id", "2"}});
    config = {{"tokenizer_class", "LlamaTokenizer"}, {"add_bos_token", true}, {"bos_token", "<s>"}};
  }
  config["eos_token"] = "</s>";
  config["unk_token"] = "<unk>";
  std::string model, error;
  vocabulary_trainer()(settings, texts, model, error);
  MNEME_CHECK(error.empty(), "vocabulary: {} pieces cannot be learnt from this text: {}", pieces, error);
  write_file_atomically(directory / (encoder_decoder ? "spiece.model" : "tokenizer.model"), model);
  write_file_atomically(directory / "tokenizer_config.json", config.dump(2) + "\n");
}

}  // namespace mneme::run
