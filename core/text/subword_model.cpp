#include "core/text/subword_model.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "core/base/error.h"
#include "core/text/bpe.h"
#include "core/text/unigram.h"

namespace mneme::text {

SubwordModel::~SubwordModel() = default;

namespace {
Vocabulary read_vocabulary(JsonFields& fields) {
  const Json& object = fields.object("vocab");
  Vocabulary vocabulary;
  vocabulary.reserve(object.size());
  for (const auto& [token, id] : object.items()) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= static_cast<std::uint64_t>(kMostTokens))
      fields.fail("vocab",
                  fmt::format("gives '{}' the id {}; expected a whole number below {}", token, brief(id), kMostTokens));
    vocabulary[token] = id.get<std::int32_t>();
  }
  // An id table as long as the largest id: a file that names few tokens must not make it long.
  for (const auto& [token, id] : vocabulary)
    if (static_cast<std::size_t>(id) > 16 * vocabulary.size() + 1024)
      fields.fail("vocab", fmt::format("gives '{}' the id {}, but has {} tokens", token, id, vocabulary.size()));
  return vocabulary;
}

MergeRules read_merges(JsonFields& fields) {
  MergeRules merges;
  const Json& list = fields.array("merges");
  merges.reserve(list.size());
  for (const Json& rule : list) {
    if (rule.is_string()) {
      const auto& text = rule.get_ref<const std::string&>();
      if (text.starts_with("#version")) continue;
      const std::size_t blank = text.find(' ');
      if (blank == text.npos || text.find(' ', blank + 1) != text.npos)
        fields.fail("merges", fmt::format("holds {}; expected two tokens with a blank between", brief(rule)));
      merges.emplace_back(text.substr(0, blank), text.substr(blank + 1));
    } else if (rule.is_array() && rule.size() == 2 && rule[0].is_string() && rule[1].is_string()) {
      merges.emplace_back(rule[0].get<std::string>(), rule[1].get<std::string>());
    } else {
      fields.fail("merges", fmt::format("holds {}; expected two tokens", brief(rule)));
    }
  }
  return merges;
}

void refuse_affix(JsonFields& fields, const std::string& key) {
  if (!fields.text(key, "").empty()) fields.fail(key, "is not supported");
}

std::unique_ptr<SubwordModel> make_bpe(JsonFields& fields, bool byte_words) {
  BpeOptions options;
  if (fields.find("unk_token") != nullptr) options.unknown = fields.text("unk_token");
  options.fuse_unknown = fields.boolean("fuse_unk", false);
  options.byte_fallback = fields.boolean("byte_fallback", false);
  options.ignore_merges = fields.boolean("ignore_merges", false);
  options.byte_words = byte_words;
  refuse_affix(fields, "continuing_subword_prefix");
  refuse_affix(fields, "end_of_word_suffix");
  if (const Json* dropout = fields.find("dropout"); dropout != nullptr && *dropout != 0)
    fields.fail("dropout", fmt::format("is {}, which makes ids random; expected null", brief(*dropout)));
  Vocabulary vocabulary = read_vocabulary(fields);
  return std::make_unique<Bpe>(std::move(vocabulary), read_merges(fields), std::move(options), fields.where());
}

/// A decimal number as the reader of Hugging Face's tokenizers makes it: all its digits as one whole number, then times
/// or by a power of ten. That is not always the nearest double, and the last bit decides between segmentations whose
/// pieces are the same in another order.
double as_tokenizers_reads(double nearest) {
  std::array<char, 32> text{};
  std::to_chars(text.data(), text.data() + text.size() - 1, std::abs(nearest), std::chars_format::scientific);
  std::uint64_t digits = 0;
  int decimals = 0;
  bool behind_point = false;
  const char* at = text.data();
  for (; *at != 'e'; ++at) {
    if (*at == '.') {
      behind_point = true;
      continue;
    }
    digits = digits * 10 + static_cast<std::uint64_t>(*at - '0');
    decimals += behind_point ? 1 : 0;
  }
  const int exponent = std::atoi(at + 1) - decimals;
  const double power = std::pow(10.0, std::abs(exponent));
  if (!std::isfinite(power)) return nearest;
  const auto whole = static_cast<double>(digits);
  return std::copysign(exponent < 0 ? whole / power : whole * power, nearest);
}

std::unique_ptr<SubwordModel> make_unigram(JsonFields& fields) {
  std::vector<std::pair<std::string, double>> pieces;
  const Json& list = fields.array("vocab");
  if (list.size() > static_cast<std::size_t>(kMostTokens))
    fields.fail("vocab", fmt::format("has {} pieces; expected at most {}", list.size(), kMostTokens));
  pieces.reserve(list.size());
  for (const Json& piece : list) {
    if (!piece.is_array() || piece.size() != 2 || !piece[0].is_string() || !piece[1].is_number())
      fields.fail("vocab", fmt::format("holds {}; expected a text and its score", brief(piece)));
    pieces.emplace_back(piece[0].get<std::string>(), as_tokenizers_reads(piece[1].get<double>()));
  }
  UnigramOptions options;
  if (fields.find("unk_id") != nullptr)
    options.unknown = static_cast<std::int32_t>(fields.integer("unk_id", kMostTokens));
  options.byte_fallback = fields.boolean("byte_fallback", false);
  return std::make_unique<Unigram>(std::move(pieces), options, fields.where());
}
}  // namespace

std::string model_type(const Json& value, const std::string& where) {
  JsonFields fields(value, where);
  if (fields.find("type") != nullptr) return fields.text("type");
  return value.contains("merges") ? "BPE" : fields.at("vocab").is_array() ? "Unigram" : "unknown";
}

std::unique_ptr<SubwordModel> make_model(const Json& value, const std::string& where, bool byte_words) {
  JsonFields fields(value, where);
  const std::string type = model_type(value, where);
  fields.ignore("type");
  if (type != "BPE" && type != "Unigram")
    fields.fail("type", fmt::format("'{}' is not supported; expected BPE or Unigram", type));
  auto model = type == "BPE" ? make_bpe(fields, byte_words) : make_unigram(fields);
  fields.finish();
  return model;
}

}  // namespace mneme::text
