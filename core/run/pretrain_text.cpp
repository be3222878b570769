#include "core/run/pretrain_text.h"

#include <dlfcn.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "core/base/error.h"
#include "core/base/file.h"

namespace mneme::run {

namespace {
using LearnVocabulary = void (*)(const std::unordered_map<std::string, std::string>& settings,
                                 const std::vector<std::string>& texts, std::string& model, std::string& error);

/// The trainer of SentencePiece, see vocabulary/vocabulary.cpp; it stays open.
LearnVocabulary vocabulary_trainer() {
  const auto file = program_directory().parent_path() / "lib/mneme/vocabulary.so";
  void* module = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
  MNEME_CHECK(module != nullptr, "vocabulary: SentencePiece's trainer cannot be opened: {}", ::dlerror());
  return reinterpret_cast<LearnVocabulary>(::dlsym(module, "mneme_learn_vocabulary"));
}

void cut(text::TokenIds& ids, std::size_t most) {
  if (ids.size() > most) ids.resize(most);
}
}  // namespace

Documents::Documents(const PretrainText& options) : order_(options.seed, "pretrain/order"), generator_(options.seed) {
  for (const auto& file : options.files) read(file, options.answers);
  next_ = rows_.size();
  MNEME_CHECK(options.kind == "generated" || !rows_.empty(), "text.files: the {} file(s) hold no document",
              options.files.size());
}

std::pair<std::string, std::string> Documents::next() {
  if (rows_.empty()) {
    auto document = generator_.next();
    return {std::move(document.prompt), std::move(document.answer)};
  }
  if (next_ == rows_.size()) order_.shuffle(rows_), next_ = 0;
  return rows_[next_++];
}

std::optional<std::size_t> Documents::count() const {
  return rows_.empty() ? std::nullopt : std::optional(rows_.size());
}

void Documents::read(const std::filesystem::path& file, bool answers) {
  const std::string text = read_file(file);
  if (file.extension() == ".json") {
    const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!json.is_array())
      throw DataError(fmt::format("{}: expected a JSON list of rows with prompt and answer", file.string()));
    for (std::size_t i = 0; i < json.size(); ++i) {
      if (!json[i].is_object() || !json[i].contains("prompt") || !json[i].contains("answer"))
        throw DataError(fmt::format("{}: row {} has no prompt and answer", file.string(), i));
      auto prompt = json[i]["prompt"].get<std::string>();
      if (answers)
        rows_.emplace_back(std::move(prompt), json[i]["answer"].get<std::string>());
      else
        rows_.emplace_back("", std::move(prompt));  // a text like any other
    }
  } else {
    for (std::size_t start = 0; start < text.size();) {
      const std::size_t end = std::min(text.find("\n\n", start), text.size());
      if (end > start) rows_.emplace_back("", text.substr(start, end - start));
      start = end + 2;
    }
  }
}

DocumentForm::DocumentForm(const text::Tokenizer& tokenizer, bool encoder_decoder, std::int64_t max_length,
                           std::uint64_t seed)
    : tokenizer_(tokenizer),
      form_(tokenizer, encoder_decoder),
      encoder_decoder_(encoder_decoder),
      max_length_(static_cast<std::size_t>(max_length)),
      parting_(seed, "pretrain/parting") {}

SamplePtr DocumentForm::sample(const std::pair<std::string, std::string>& document) {
  const auto& [prompt, text] = document;
  text::TokenIds head, rest;
  if (prompt.empty()) {
    rest = tokenizer_.encode(text);
  } else {
    head = tokenizer_.encode(prompt);
    rest = encoder_decoder_ ? tokenizer_.encode(text) : tokenizer_.encode_continuation(text);
  }
  if (encoder_decoder_ && head.empty()) {
    const auto middle = rest.begin() + static_cast<std::ptrdiff_t>(parting_.below(rest.size() + 1));
    head.assign(rest.begin(), middle);
    rest.erase(rest.begin(), middle);
  }
  Sample made{.tokens = form_.prompt(head)};
  rest = form_.answer(rest);
  if (encoder_decoder_) {
    cut(made.tokens, max_length_);
    cut(rest, max_length_);
  }
  made.first_label = static_cast<std::int64_t>(made.tokens.size());
  made.tokens.insert(made.tokens.end(), rest.begin(), rest.end());
  if (!encoder_decoder_) cut(made.tokens, max_length_);
  made.first_label = std::min(made.first_label, static_cast<std::int64_t>(made.tokens.size()));
  return std::make_shared<const Sample>(std::move(made));
}

void write_learnt_tokenizer(const std::filesystem::path& directory, std::vector<std::string> texts, std::int64_t pieces,
                            bool encoder_decoder) {
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
