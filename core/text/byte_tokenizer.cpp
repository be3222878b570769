#include "core/text/byte_tokenizer.h"

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/text/subword_model.h"

namespace mneme::text {

TokenIds ByteTokenizer::encode(std::string_view utf8) const {
  TokenIds ids;
  ids.reserve(utf8.size());
  for (const char c : utf8) ids.push_back(static_cast<unsigned char>(c));
  return ids;
}

TokenIds ByteTokenizer::with_special(TokenIds ids) const {
  ids.insert(ids.begin(), kBos);
  return ids;
}

std::string ByteTokenizer::decode(std::span<const std::int32_t> ids, SpecialTokens special) const {
  std::string out;
  out.reserve(ids.size());
  for (const std::int32_t id : ids) {
    if (id < 0 || id >= kMostTokens) throw DataError(fmt::format("token id {} is outside any vocabulary", id));
    if (id < kBos || special == SpecialTokens::kKeep) out += bytes_of(id);
  }
  return out;
}

std::optional<std::string> ByteTokenizer::token(std::int32_t id) const {
  if (id < 0 || id >= kVocabSize) return std::nullopt;
  if (id < kBos) return std::string(1, static_cast<char>(id));
  return id == kBos ? "<bos>" : id == kEos ? "<eos>" : "<pad>";
}

std::string ByteTokenizer::bytes_of(std::int32_t id) const { return token(id).value_or(""); }

std::string ByteTokenizer::identity() const {
  return sha256_hex("mneme byte tokenizer, version 1: 256 bytes, bos, eos, pad");
}

std::string ByteTokenizer::config_json() {
  const nlohmann::ordered_json config{
      {"tokenizer_class", kClassName}, {"bos_token", "<bos>"}, {"eos_token", "<eos>"}, {"pad_token", "<pad>"}};
  return config.dump(2) + "\n";
}

}  // namespace mneme::text
