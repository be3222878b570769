#include "core/adapter/peft.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/model/config_fields.h"
#include "core/model/safetensors.h"
#include "core/model/torch_archive.h"

namespace mneme {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;

constexpr std::string_view kPrefix = "base_model.model.";
constexpr const char* kPrompt = "prompt_embeddings";

std::string tensor_name(const std::string& linear, ParameterRole role) {
  return fmt::format("{}{}.lora_{}.weight", kPrefix, linear, role == ParameterRole::kLoraA ? "A" : "B");
}

const char* task_type(const model::Transformer& model) {
  return model.config().encoder_decoder() ? "SEQ_2_SEQ_LM" : "CAUSAL_LM";
}

/// PEFT takes names, or one regular expression for all.
Json target_modules(const LoraOptions& options, const model::Transformer& model) {
  const bool patterns = std::any_of(options.targets.begin(), options.targets.end(), is_pattern);
  if (options.first_layer > 0) {
    std::vector<std::string> names;  // PEFT's own choice of layers does not tell an encoder's from a decoder's
    for (const LoraTarget& target : lora_targets(options, model.linears()))
      names.push_back(model.linears()[static_cast<std::size_t>(target.linear)].name);
    return names;
  }
  if (options.targets == std::vector<std::string>{"all-linear"}) return "all-linear";
  if (!patterns) return options.targets;
  std::vector<std::string> alternatives;
  for (const std::string& target : options.targets)
    alternatives.push_back(is_pattern(target) ? fmt::format("({})", target) : fmt::format("(.*\\.)?{}", target));
  return fmt::format("{}", fmt::join(alternatives, "|"));
}

Json lora_config(const LoraOptions& options, const model::Transformer& model) {
  return {{"peft_type", "LORA"},
          {"r", options.rank},
          {"lora_alpha", options.alpha},
          {"lora_dropout", options.dropout},
          {"target_modules", target_modules(options, model)},
          {"rank_pattern", options.rank_pattern},
          {"alpha_pattern", options.alpha_pattern},
          {"use_rslora", options.rank_stabilised},
          {"bias", "none"},
          {"fan_in_fan_out", false}};
}

Json prompt_config(const ParameterView& prompt, const model::Transformer& model) {
  return {{"peft_type", "PROMPT_TUNING"},
          {"num_virtual_tokens", prompt.shape[0]},
          {"token_dim", prompt.shape[1]},
          {"num_transformer_submodules", 1},
          {"num_attention_heads", model.config().num_attention_heads},
          {"num_layers", model.config().num_hidden_layers},
          {"prompt_tuning_init", "RANDOM"}};
}

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
    if (!value.is_number()) fields.refuse(key, "expected an object of numbers");
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

/// Everything in the file that does not fit the adapter's parameters, one line each.
std::vector<std::string> differences(const std::vector<ParameterView>& views, const model::Transformer& model,
                                     const std::map<std::string, at::Tensor>& found) {
  std::vector<std::string> lines;
  std::set<std::string> known;
  for (const ParameterView& view : views) {
    const std::string name = tensor_name(model.linears()[static_cast<std::size_t>(view.linear)].name, view.role);
    known.insert(name);
    const auto it = found.find(name);
    if (it == found.end())
      lines.push_back(fmt::format("missing: '{}' [{}]", name, fmt::join(view.shape, ", ")));
    else if (it->second.sizes() != view.shape || !it->second.is_floating_point())
      lines.push_back(fmt::format("wrong shape or type: '{}' is {} [{}], expected floating point [{}]", name,
                                  c10::toString(it->second.scalar_type()), fmt::join(it->second.sizes().vec(), ", "),
                                  fmt::join(view.shape, ", ")));
  }
  for (const auto& [name, tensor] : found)
    if (!known.contains(name)) lines.push_back(fmt::format("unexpected: '{}'", name));
  return lines;
}

/// The modules that a file has factors for, where the options' targets do not choose just these: PEFT's choice of
/// layers, or a target that the file leaves out.
std::vector<std::string> modules_of(const std::map<std::string, at::Tensor>& found) {
  std::vector<std::string> modules;
  constexpr std::string_view kEnd = ".lora_A.weight";
  for (const auto& [name, tensor] : found)
    if (name.starts_with(kPrefix) && name.ends_with(kEnd))
      modules.push_back(name.substr(kPrefix.size(), name.size() - kPrefix.size() - kEnd.size()));
  return modules;
}

AdapterId read_prompt(const model::ConfigFields& fields, const std::map<std::string, at::Tensor>& found,
                      AdapterBank& bank, const model::Transformer& model, const std::string& name) {
  const std::int64_t tokens = fields.integer("num_virtual_tokens"), width = model.config().hidden_size;
  const auto it = found.find(kPrompt);
  if (it == found.end() || it->second.dim() != 2 || tokens < 1 || it->second.size(0) < tokens ||
      it->second.size(1) != width || !it->second.is_floating_point())
    throw Error(fmt::format("{}: expected a tensor '{}' [{} or more, {}]: the adapter is damaged or of another model",
                            fields.where(), kPrompt, tokens, width));
  const AdapterId id = bank.create_free(name, {tokens, width});
  // Of an encoder-decoder PEFT stores as many rows again, which it does not use.
  bank.values(id).copy_(it->second.narrow(0, 0, tokens).to(at::kFloat).flatten());
  return id;
}

}  // namespace

void write_peft(const fs::path& directory, const AdapterBank& bank, AdapterId id, const model::Transformer& model,
                const std::string& base_model) {
  const LoraOptions* options = bank.lora_options(id);
  const std::vector<ParameterView> views = bank.views(id);
  const bool prompt = views.size() == 1 && views[0].role == ParameterRole::kFree && views[0].shape.size() == 2 &&
                      views[0].shape[1] == model.config().hidden_size;
  MNEME_CHECK(options != nullptr || prompt, "adapter '{}' is neither LoRA nor a soft prompt and has no PEFT form",
              bank.name(id));
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (const ParameterView& view : views)
    tensors.emplace_back(
        prompt ? kPrompt : tensor_name(model.linears()[static_cast<std::size_t>(view.linear)].name, view.role),
        view.of(bank.values(id)).detach().clone());
  Json config = prompt ? prompt_config(views[0], model) : lora_config(*options, model);
  config["task_type"] = task_type(model);
  config["base_model_name_or_path"] = base_model;
  config["inference_mode"] = true;
  fs::create_directories(directory);
  model::write_safetensors(directory / "adapter_model.safetensors", tensors, {{"format", "pt"}});
  write_file_atomically(directory / "adapter_config.json", config.dump(2) + "\n");
}

AdapterId read_peft(const fs::path& directory, AdapterBank& bank, const model::Transformer& model,
                    const std::string& name) {
  const fs::path config_file = directory / "adapter_config.json";
  const Json json = Json::parse(read_file(config_file), nullptr, false);
  if (!json.is_object()) throw Error(fmt::format("{}: is not a JSON object", config_file.string()));
  const model::ConfigFields fields(json, config_file.string());
  const bool archive =
      !fs::exists(directory / "adapter_model.safetensors") && fs::exists(directory / "adapter_model.bin");
  const auto found = archive ? model::read_torch_archive(directory / "adapter_model.bin")
                             : model::read_safetensors(directory / "adapter_model.safetensors");
  const std::string type = fields.text("peft_type", "");
  if (type == "PROMPT_TUNING") return read_prompt(fields, found, bank, model, name);
  if (type != "LORA") fields.refuse("peft_type", "supported are \"LORA\" and \"PROMPT_TUNING\"");
  LoraOptions options = read_lora(fields);
  if (fields.has("layers_to_transform")) options.targets = modules_of(found);
  RandomStream unused(0, "peft");
  const AdapterId id = bank.create_lora(name, options, unused);
  const std::vector<std::string> wrong = differences(bank.views(id), model, found);
  if (!wrong.empty()) {
    bank.remove(id);
    throw Error(
        fmt::format("{}: the adapter does not fit the model:\n  {}", directory.string(), fmt::join(wrong, "\n  ")));
  }
  for (const ParameterView& view : bank.views(id)) {
    const std::string& linear = model.linears()[static_cast<std::size_t>(view.linear)].name;
    view.of(bank.values(id)).copy_(found.at(tensor_name(linear, view.role)));
  }
  return id;
}

}  // namespace mneme
