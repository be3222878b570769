#include "core/text/tokenizer.h"

#include <array>
#include <string_view>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/text/byte_tokenizer.h"
#include "core/text/directory_config.h"
#include "core/text/model_files.h"

namespace mneme::text {

namespace {
/// T5 or LLaMA, by the class that the files name, else by the model, else by the file's name; none if another is named.
std::optional<SentencePieceStyle> style_of(const DirectoryConfig& config, std::string_view file) {
  if (config.tokenizer_class == "T5Tokenizer") return SentencePieceStyle::kT5;
  if (config.tokenizer_class == "LlamaTokenizer") return SentencePieceStyle::kLlama;
  if (!config.tokenizer_class.empty()) return std::nullopt;
  for (const char* type : {"t5", "mt5"})
    if (config.model_type == type) return SentencePieceStyle::kT5;
  for (const char* type : {"llama", "mistral"})
    if (config.model_type == type) return SentencePieceStyle::kLlama;
  if (!config.model_type.empty()) return std::nullopt;
  return file == "spiece.model" ? SentencePieceStyle::kT5 : SentencePieceStyle::kLlama;
}
}  // namespace

Tokenizer::~Tokenizer() = default;

TokenIds Tokenizer::encode_continuation(std::string_view utf8) const { return encode(utf8); }
std::int32_t Tokenizer::text_vocab_size() const { return vocab_size(); }

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& model_directory) {
  if (!std::filesystem::is_directory(model_directory))
    throw DataError(fmt::format("{}: is not a directory; expected a model directory with a tokenizer in it",
                                model_directory.string()));
  const DirectoryConfig config = read_directory_config(model_directory);
  if (config.tokenizer_class == ByteTokenizer::kClassName) return std::make_unique<ByteTokenizer>();
  const auto json = model_directory / "tokenizer.json";
  if (std::filesystem::exists(json)) return tokenizer_from_json(read_file(json), config, json.string());
  for (const char* name : {"spiece.model", "tokenizer.model"}) {
    const auto file = model_directory / name;
    const auto style = style_of(config, name);
    if (style && std::filesystem::exists(file))
      return tokenizer_from_sentencepiece(read_file(file), *style, config, file.string());
  }
  const std::string named = config.tokenizer_class.empty()
                                ? "no tokenizer_class"
                                : fmt::format("tokenizer_class '{}'", config.tokenizer_class);
  throw DataError(
      fmt::format("{}: no tokenizer that this program reads: found {}, model_type '{}'; expected tokenizer.json, or "
                  "spiece.model or tokenizer.model of a T5 or LLaMA, or a tokenizer_config.json with "
                  "\"tokenizer_class\": \"{}\"",
                  model_directory.string(), named, config.model_type, ByteTokenizer::kClassName));
}

}  // namespace mneme::text
