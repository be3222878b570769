#include "core/text/tokenizer.h"

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/text/byte_tokenizer.h"

namespace mneme::text {

namespace {
/// tokenizer_class of a tokenizer_config.json, "" if there is no such file or key.
std::string tokenizer_class(const std::filesystem::path& directory) {
  const auto path = directory / "tokenizer_config.json";
  if (!std::filesystem::exists(path)) return "";
  const auto config = nlohmann::json::parse(read_file(path), nullptr, false);
  if (!config.is_object())
    throw DataError(fmt::format("{}: is not a JSON object; expected a tokenizer configuration", path.string()));
  const auto entry = config.find("tokenizer_class");
  return entry != config.end() && entry->is_string() ? entry->get<std::string>() : "";
}
}  // namespace

Tokenizer::~Tokenizer() = default;

TokenIds Tokenizer::encode_continuation(std::string_view utf8) const { return encode(utf8); }

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& model_directory) {
  if (!std::filesystem::is_directory(model_directory))
    throw DataError(fmt::format("{}: is not a directory; expected a model directory with a tokenizer in it",
                                model_directory.string()));
  const std::string name = tokenizer_class(model_directory);
  if (name == ByteTokenizer::kClassName) return std::make_unique<ByteTokenizer>();
  std::string found = name.empty() ? "no tokenizer_class" : fmt::format("tokenizer_class '{}'", name);
  for (const char* file : {"tokenizer.json", "tokenizer.model", "spiece.model"}) {
    if (std::filesystem::exists(model_directory / file)) found += fmt::format(", {}", file);
  }
  throw DataError(
      fmt::format("{}: no tokenizer that this program reads: found {}; expected a tokenizer_config.json with "
                  "\"tokenizer_class\": \"{}\"",
                  model_directory.string(), found, ByteTokenizer::kClassName));
}

}  // namespace mneme::text
