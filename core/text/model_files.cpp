#include "core/text/model_files.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/unicode.h"
#include "core/text/bpe.h"
#include "core/text/pipeline_tokenizer.h"
#include "core/text/sentencepiece_file.h"
#include "core/text/tokenizer_classes.h"
#include "core/text/unigram.h"

namespace mneme::text {

namespace {
/// Adds what the configuration names: its added tokens, and the special ones that are not there yet.
void add_configured(Pipeline& parts, const DirectoryConfig& config) {
  for (const AddedToken& token : config.added) parts.added.add(token, *parts.model);
  for (const auto& special : config.specials)
    if (!parts.added.id_of(special.token.content)) parts.added.add(special.token, *parts.model);
}

void finish(Pipeline& parts, const DirectoryConfig& config) {
  parts.added.finish(parts.normalizer.get());
  const auto id = [&](const char* name, std::optional<std::int32_t> otherwise) {
    const auto* special = config.special(name);
    return special == nullptr ? otherwise : parts.added.id_of(special->token.content);
  };
  parts.bos = id("bos_token", config.bos_id);
  parts.eos = id("eos_token", config.eos_id);
  parts.pad = id("pad_token", config.pad_id);
}

AddedToken added_token_of_json(const Json& value, const std::string& where) {
  JsonFields fields(value, where);
  AddedToken token;
  token.content = fields.text("content");
  token.single_word = fields.boolean("single_word");
  token.lstrip = fields.boolean("lstrip");
  token.rstrip = fields.boolean("rstrip");
  token.normalized = fields.boolean("normalized");
  token.special = fields.boolean("special");
  fields.integer("id", kMostTokens);
  fields.finish();
  return token;
}

void add_pieces(Pipeline& parts, const SentencePieceFile& file) {
  for (const auto& piece : file.pieces) {
    const bool control = piece.type == SentencePieceFile::PieceType::kControl;
    if (!control && piece.type != SentencePieceFile::PieceType::kUserDefined) continue;
    AddedToken token;
    token.content = piece.text;
    token.normalized = false;
    token.special = control;
    parts.added.add(token, *parts.model);
  }
}

/// T5Tokenizer's end behind each text.
Surroundings t5_surroundings(const Pipeline& parts, const DirectoryConfig& config) {
  const auto eos = parts.added.id_of(config.special("eos_token")->token.content);
  return {{}, eos ? TokenIds{*eos} : TokenIds{}};
}

Pipeline t5_pipeline(const SentencePieceFile& file, DirectoryConfig& config, const std::string& where) {
  std::vector<std::pair<std::string, double>> pieces;
  for (const auto& piece : file.pieces) pieces.emplace_back(piece.text, piece.score);
  const std::int64_t sentinels = config.extra_ids.value_or(kT5Sentinels);
  for (std::int64_t i = sentinels - 1; i >= 0; --i) pieces.emplace_back(fmt::format("<extra_id_{}>", i), 0.0);
  constexpr std::int32_t kUnknown = 2;
  Pipeline parts;
  parts.model = std::make_unique<Unigram>(std::move(pieces), UnigramOptions{kUnknown, false}, where);
  if (!file.character_map.empty()) parts.normalizer = make_character_map(file.character_map, where);
  const Json pre_tokenizer = t5_pre_tokenizer(), decoder = t5_decoder();
  parts.pre_tokenizer = make_pre_tokenizer(&pre_tokenizer, where, false);
  parts.decoder = make_decoder(&decoder, where);
  add_pieces(parts, file);
  add_class_specials(config, "T5Tokenizer");
  add_configured(parts, config);
  parts.special = t5_surroundings(parts, config);
  return parts;
}

/// Every way to make a piece of two others, by the piece's id and then by the length of the left part.
MergeRules merges_of(const Vocabulary& vocabulary) {
  std::vector<std::pair<std::int32_t, const std::string*>> by_id;
  for (const auto& [token, id] : vocabulary) by_id.emplace_back(id, &token);
  std::sort(by_id.begin(), by_id.end());
  MergeRules merges;
  for (const auto& [id, token] : by_id) {
    const std::string_view text = *token;
    for (std::size_t i = 1; i < text.size(); ++i) {
      if (is_continuation(text[i])) continue;
      if (vocabulary.contains(text.substr(0, i)) && vocabulary.contains(text.substr(i)))
        merges.emplace_back(text.substr(0, i), text.substr(i));
    }
  }
  return merges;
}

/// What add_bos_token and add_eos_token put around a text.
Surroundings configured_surroundings(const Pipeline& parts, const DirectoryConfig& config) {
  const auto ids = [&](const char* name, const std::optional<bool>& wanted) -> TokenIds {
    const auto* special = config.special(name);
    const auto id = special == nullptr ? std::nullopt : parts.added.id_of(special->token.content);
    return id && wanted.value_or(false) ? TokenIds{*id} : TokenIds{};
  };
  return {ids("bos_token", config.add_bos), ids("eos_token", config.add_eos)};
}

Pipeline llama_pipeline(const SentencePieceFile& file, DirectoryConfig& config, const std::string& where) {
  Vocabulary vocabulary;
  for (std::size_t i = 0; i < file.pieces.size(); ++i) vocabulary[file.pieces[i].text] = static_cast<std::int32_t>(i);
  const MergeRules merges = merges_of(vocabulary);
  BpeOptions options;
  options.fuse_unknown = options.byte_fallback = true;
  Pipeline parts;
  parts.model = std::make_unique<Bpe>(std::move(vocabulary), merges, options, where);
  const Json pre_tokenizer = llama_pre_tokenizer(config), decoder = llama_decoder(config);
  parts.pre_tokenizer = make_pre_tokenizer(&pre_tokenizer, where, false);
  parts.decoder = make_decoder(&decoder, where);
  add_pieces(parts, file);
  add_class_specials(config, "LlamaTokenizer");
  add_configured(parts, config);
  parts.special = configured_surroundings(parts, config);
  return parts;
}

std::size_t count_objects(const Json& value) {
  std::size_t count = value.is_object() ? 1 : 0;
  if (value.is_structured())
    for (const Json& item : value) count += count_objects(item);
  return count;
}

/// A step of the pipeline; each compiles patterns, so that there must not be a million of them.
const Json* step(JsonFields& fields, const std::string& key) {
  constexpr std::size_t kMost = 1000;
  const Json* value = fields.find(key);
  if (value != nullptr && count_objects(*value) > kMost) fields.fail(key, fmt::format("has more than {} parts", kMost));
  return value;
}
}  // namespace

std::unique_ptr<Tokenizer> tokenizer_from_json(std::string_view content, const DirectoryConfig& config,
                                               const std::string& where) {
  Json json = parse_json_object(content, where);
  DirectoryConfig full = config;
  const std::string class_name = put_class_parts(json, config);
  JsonFields fields(json, where + ":");
  if (fields.text("version", "1.0") != "1.0")
    fields.fail("version", fmt::format("is '{}'; expected 1.0", fields.text("version")));
  fields.ignore("truncation");  // how long a text may be is the caller's to say
  fields.ignore("padding");
  Pipeline parts;
  const Json& model = fields.object("model");
  const bool bpe = model_type(model, fields.where("model")) == "BPE";
  parts.normalizer = make_normalizer(step(fields, "normalizer"), fields.where("normalizer"));
  parts.pre_tokenizer = make_pre_tokenizer(step(fields, "pre_tokenizer"), fields.where("pre_tokenizer"), bpe);
  const bool bytes = parts.pre_tokenizer != nullptr && parts.pre_tokenizer->leaves_bytes();
  parts.model = make_model(model, fields.where("model"), bytes);
  parts.decoder = make_decoder(step(fields, "decoder"), fields.where("decoder"));
  parts.special = make_surroundings(step(fields, "post_processor"), fields.where("post_processor"));
  if (fields.find("added_tokens") != nullptr)
    for (const Json& token : fields.array("added_tokens"))
      parts.added.add(added_token_of_json(token, fields.where("added_tokens")), *parts.model);
  fields.finish();
  add_class_specials(full, class_name);
  add_configured(parts, full);
  if (class_name == "T5Tokenizer") parts.special = t5_surroundings(parts, full);
  finish(parts, full);
  parts.tidies_blanks = config.tidies_blanks && !bpe;
  parts.identity = sha256_hex(fmt::format("tokenizer.json {} {} {}", class_name, sha256_hex(content), config.digest));
  return std::make_unique<PipelineTokenizer>(std::move(parts));
}

std::unique_ptr<Tokenizer> tokenizer_from_sentencepiece(std::string_view content, SentencePieceStyle style,
                                                        const DirectoryConfig& config, const std::string& where) {
  const SentencePieceFile file = read_sentencepiece(content, where);
  DirectoryConfig full = config;
  const bool t5 = style == SentencePieceStyle::kT5;
  Pipeline parts = t5 ? t5_pipeline(file, full, where) : llama_pipeline(file, full, where);
  finish(parts, full);
  parts.tidies_blanks = config.tidies_blanks && t5;
  parts.identity = sha256_hex(fmt::format("{} {} {}", t5 ? "t5" : "llama", sha256_hex(content), config.digest));
  return std::make_unique<PipelineTokenizer>(std::move(parts));
}

}  // namespace mneme::text
