#include "core/adapter/peft.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "core/adapter/peft_config.h"
#include "core/base/error.h"
#include "core/base/file.h"
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

/// Everything in the file that does not fit the adapter's parameters, one line each. Nothing is allocated for an
/// adapter before its file is known to fill it.
std::vector<std::string> differences(const LoraOptions& options, const model::Transformer& model,
                                     const std::map<std::string, at::Tensor>& found) {
  std::vector<std::string> lines;
  std::set<std::string> known;
  const auto compare = [&](const std::string& name, const std::array<std::int64_t, 2>& shape) {
    known.insert(name);
    const auto it = found.find(name);
    if (it == found.end())
      lines.push_back(fmt::format("missing: '{}' [{}]", name, fmt::join(shape, ", ")));
    else if (it->second.sizes() != shape || !it->second.is_floating_point())
      lines.push_back(fmt::format("wrong shape or type: '{}' is {} [{}], expected floating point [{}]", name,
                                  c10::toString(it->second.scalar_type()), fmt::join(it->second.sizes().vec(), ", "),
                                  fmt::join(shape, ", ")));
  };
  for (const LoraTarget& target : lora_targets(options, model.linears())) {
    const model::LinearInfo& linear = model.linears()[static_cast<std::size_t>(target.linear)];
    compare(tensor_name(linear.name, ParameterRole::kLoraA), {target.rank, linear.in});
    compare(tensor_name(linear.name, ParameterRole::kLoraB), {linear.out, target.rank});
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

AdapterId read_prompt(std::int64_t tokens, const std::map<std::string, at::Tensor>& found, AdapterBank& bank,
                      const model::Transformer& model, const std::string& name) {
  const std::int64_t width = model.config().hidden_size;
  const auto it = found.find(kPrompt);
  if (it == found.end() || it->second.dim() != 2 || it->second.size(0) < tokens || it->second.size(1) != width ||
      !it->second.is_floating_point())
    throw Error(fmt::format("expected a tensor '{}' [{} or more, {}]: the adapter is damaged or of another model",
                            kPrompt, tokens, width));
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
  PeftConfig config = read_peft_config(config_file);
  const bool archive =
      !fs::exists(directory / "adapter_model.safetensors") && fs::exists(directory / "adapter_model.bin");
  const auto found = archive ? model::read_torch_archive(directory / "adapter_model.bin")
                             : model::read_safetensors(directory / "adapter_model.safetensors");
  if (!config.lora)
    return with_context(directory.string(),
                        [&] { return read_prompt(config.prompt_tokens, found, bank, model, name); });
  LoraOptions& options = *config.lora;
  if (config.chooses_layers) options.targets = modules_of(found);
  const std::vector<std::string> wrong =
      with_context(config_file.string(), [&] { return differences(options, model, found); });
  if (!wrong.empty())
    throw Error(
        fmt::format("{}: the adapter does not fit the model:\n  {}", directory.string(), fmt::join(wrong, "\n  ")));
  RandomStream unused(0, "peft");
  const AdapterId id = bank.create_lora(name, options, unused);
  for (const ParameterView& view : bank.views(id)) {
    const std::string& linear = model.linears()[static_cast<std::size_t>(view.linear)].name;
    view.of(bank.values(id)).copy_(found.at(tensor_name(linear, view.role)));
  }
  return id;
}

}  // namespace mneme
