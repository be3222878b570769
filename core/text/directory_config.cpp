#include "core/text/directory_config.h"

#include <algorithm>
#include <array>
#include <map>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/hash.h"

namespace mneme::text {

namespace {
constexpr std::array<const char*, 7> kNames{"bos_token", "eos_token", "unk_token", "sep_token",
                                            "pad_token", "cls_token", "mask_token"};

/// An added token as the files write it: its text, or an object with its flags.
AddedToken added_token(const Json& value, const std::string& where, bool special) {
  AddedToken token;
  token.special = special;
  token.normalized = !special;
  if (value.is_string()) {
    token.content = value.get<std::string>();
    return token;
  }
  JsonFields fields(value, where);
  token.content = fields.text("content");
  token.single_word = fields.boolean("single_word", false);
  token.lstrip = fields.boolean("lstrip", false);
  token.rstrip = fields.boolean("rstrip", false);
  token.special = fields.boolean("special", special);
  token.normalized = fields.boolean("normalized", !token.special);
  fields.ignore("__type");
  fields.finish();
  return token;
}

void set_special(DirectoryConfig& config, const std::string& name, const Json& value, const std::string& where) {
  DirectoryConfig::Special special{name, added_token(value, where, true)};
  special.token.special = true;
  for (auto& known : config.specials)
    if (!name.empty() && known.name == name) {
      known = std::move(special);
      return;
    }
  config.specials.push_back(std::move(special));
}

void read_specials(DirectoryConfig& config, const Json& json, const std::string& where) {
  JsonFields fields(json, where);
  for (const char* name : kNames)
    if (const Json* value = fields.find(name)) set_special(config, name, *value, fields.where(name));
  for (const char* key : {"additional_special_tokens", "extra_special_tokens"}) {
    const Json* list = fields.find(key);
    if (list == nullptr) continue;
    for (const Json& value : *list) set_special(config, "", value, fields.where(key));
  }
}

void read_added(DirectoryConfig& config, JsonFields& fields) {
  if (fields.find("added_tokens_decoder") == nullptr) return;
  std::map<std::int64_t, AddedToken> by_id;
  for (const auto& [id, value] : fields.object("added_tokens_decoder").items()) {
    if (id.empty() || id.size() > 9 || id.find_first_not_of("0123456789") != std::string::npos)
      fields.fail("added_tokens_decoder", fmt::format("holds the id '{}'; expected a whole number", id));
    by_id[std::stoll(id)] = added_token(value, fields.where("added_tokens_decoder"), false);
  }
  for (auto& [id, token] : by_id) config.added.push_back(std::move(token));
}

std::optional<bool> flag(JsonFields& fields, const std::string& key) {
  return fields.find(key) == nullptr ? std::nullopt : std::optional(fields.boolean(key));
}

void read_tokenizer_config(DirectoryConfig& config, const Json& json, const std::string& where) {
  JsonFields fields(json, where);
  config.tokenizer_class = fields.text("tokenizer_class", "");
  config.add_bos = flag(fields, "add_bos_token");
  config.add_eos = flag(fields, "add_eos_token");
  config.add_prefix_space = flag(fields, "add_prefix_space");
  config.legacy = flag(fields, "legacy");
  config.tidies_blanks = fields.boolean("clean_up_tokenization_spaces", false);
  if (fields.find("extra_ids") != nullptr) config.extra_ids = fields.integer("extra_ids", 1 << 16);
  if (fields.boolean("split_special_tokens", false))
    fields.fail("split_special_tokens", "is true, which is not supported");
  read_added(config, fields);
  read_specials(config, json, where);
}

/// An id of config.json; the first of a list.
std::optional<std::int32_t> id_of(const Json& json, const std::string& key) {
  const auto entry = json.find(key);
  if (entry == json.end()) return std::nullopt;
  const Json& value = entry->is_array() && !entry->empty() ? entry->front() : *entry;
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() >= static_cast<std::uint64_t>(kMostTokens))
    return std::nullopt;
  return value.get<std::int32_t>();
}

std::string without_fast(std::string name) {
  if (name != "PreTrainedTokenizerFast" && name.ends_with("Fast")) name.resize(name.size() - 4);
  return name;
}
}  // namespace

const DirectoryConfig::Special* DirectoryConfig::special(const std::string& name) const {
  const auto found = std::find_if(specials.begin(), specials.end(), [&](const Special& s) { return s.name == name; });
  return found == specials.end() ? nullptr : &*found;
}

DirectoryConfig read_directory_config(const std::filesystem::path& directory) {
  DirectoryConfig config;
  const auto read = [&](const char* name) -> std::optional<Json> {
    const auto path = directory / name;
    if (!std::filesystem::exists(path)) return std::nullopt;
    return parse_json_object(read_file(path), path.string());
  };
  std::string texts;
  if (const auto json = read("tokenizer_config.json")) {
    read_tokenizer_config(config, *json, (directory / "tokenizer_config.json").string() + ":");
    Json relevant = *json;
    for (const char* key : {"chat_template", "name_or_path", "model_max_length"}) relevant.erase(key);
    texts += relevant.dump();
  }
  // The map is older than the list of added tokens, and read where that one is missing.
  if (const auto json = read("special_tokens_map.json"); json && config.added.empty()) {
    read_specials(config, *json, (directory / "special_tokens_map.json").string() + ":");
    texts += json->dump();
  }
  if (const auto json = read("config.json")) {
    const auto type = json->find("model_type");
    if (type != json->end() && type->is_string()) config.model_type = type->get<std::string>();
    if (const auto name = json->find("tokenizer_class");
        name != json->end() && name->is_string() && config.tokenizer_class.empty())
      config.tokenizer_class = name->get<std::string>();
    config.bos_id = id_of(*json, "bos_token_id");
    config.eos_id = id_of(*json, "eos_token_id");
    config.pad_id = id_of(*json, "pad_token_id");
  }
  config.tokenizer_class = without_fast(config.tokenizer_class);
  config.digest = sha256_hex(texts);
  return config;
}

}  // namespace mneme::text
