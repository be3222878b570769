#include "core/adapter/peft_config.h"

#include <algorithm>
#include <type_traits>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/model/config_fields.h"
#include "core/text/json_fields.h"

namespace mneme {
namespace {

using text::Json;

/// Fields of adapter_config.json that change the computation in ways that the bank does not know.
void refuse_unsupported(const model::ConfigFields& fields) {
  for (const char* key : {"use_dora", "lora_bias", "fan_in_fan_out", "use_qalora", "use_bdlora"})
    if (fields.boolean(key, false)) fields.refuse(key, "supported is false");
  if (fields.text("bias", "none") != "none") fields.refuse("bias", "supported is \"none\"");
  for (const char* key : {"modules_to_save", "layer_replication", "exclude_modules", "target_parameters",
                          "trainable_token_indices", "alora_invocation_tokens"})
    if (fields.has(key) && !fields.at(key).empty()) fields.refuse(key, "it is not supported; expected null");
}

std::vector<std::string> read_targets(const model::ConfigFields& fields) {
  if (!fields.has("target_modules")) fields.refuse("target_modules", "expected names or a regular expression");
  const Json& targets = fields.at("target_modules");
  if (targets.is_string()) return {targets.get<std::string>()};
  std::vector<std::string> names;
  for (const Json& target : targets) {
    if (!target.is_string()) fields.refuse("target_modules", "expected a list of names or a regular expression");
    names.push_back(target.get<std::string>());
  }
  std::sort(names.begin(), names.end());
  return names;
}

template <class Value>
std::map<std::string, Value> read_pattern(const model::ConfigFields& fields, const char* key) {
  std::map<std::string, Value> table;
  if (!fields.has(key)) return table;
  if (!fields.at(key).is_object()) fields.refuse(key, "expected an object of numbers");
  for (const auto& [pattern, value] : fields.at(key).items()) {
    if (!(std::is_integral_v<Value> ? value.is_number_integer() : value.is_number()))
      fields.refuse(key,
                    fmt::format("expected an object of {}", std::is_integral_v<Value> ? "whole numbers" : "numbers"));
    table[pattern] = value.template get<Value>();
  }
  return table;
}

/// PEFT's starts that take the first update out of the base weights, which it does again when it loads the file.
void refuse_changed_base(const model::ConfigFields& fields) {
  constexpr const char* kKey = "init_lora_weights";
  if (!fields.has(kKey) || !fields.at(kKey).is_string()) return;
  const std::string start = fields.text(kKey, "");
  for (const char* plain : {"gaussian", "eva", "orthogonal"})
    if (start == plain) return;
  fields.refuse(kKey, "it changes the base weights; save the adapter with path_initial_model_for_weight_conversion");
}

LoraOptions read_lora(const model::ConfigFields& fields) {
  refuse_unsupported(fields);
  refuse_changed_base(fields);
  LoraOptions options;
  constexpr std::int64_t kMostRank = 1 << 16;
  options.rank = fields.integer("r");
  if (options.rank < 1 || options.rank > kMostRank) fields.refuse("r", fmt::format("expected 1 to {}", kMostRank));
  options.alpha = fields.number("lora_alpha", 8);
  options.dropout = fields.number("lora_dropout", 0);
  if (!(options.dropout >= 0 && options.dropout < 1)) fields.refuse("lora_dropout", "expected 0 <= p < 1");
  options.targets = read_targets(fields);
  options.rank_pattern = read_pattern<std::int64_t>(fields, "rank_pattern");
  options.alpha_pattern = read_pattern<double>(fields, "alpha_pattern");
  for (const auto& [pattern, rank] : options.rank_pattern)
    if (rank < 1 || rank > kMostRank)
      fields.refuse("rank_pattern", fmt::format("expected ranks of 1 to {}", kMostRank));
  options.rank_stabilised = fields.boolean("use_rslora", false);
  return options;
}

}  // namespace

PeftConfig read_peft_config(const std::filesystem::path& file) {
  const Json json = text::parse_json_object(read_file(file), file.string());
  const model::ConfigFields fields(json, file.string());
  PeftConfig config;
  const std::string type = fields.text("peft_type", "");
  if (type == "PROMPT_TUNING") {
    config.prompt_tokens = fields.integer("num_virtual_tokens");
    if (config.prompt_tokens < 1) fields.refuse("num_virtual_tokens", "expected at least 1");
    return config;
  }
  if (type != "LORA") fields.refuse("peft_type", "supported are \"LORA\" and \"PROMPT_TUNING\"");
  config.lora = read_lora(fields);
  config.chooses_layers = fields.has("layers_to_transform");
  return config;
}

}  // namespace mneme
