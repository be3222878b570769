#include "core/adapter/peft.h"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>
#include <set>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/model/safetensors.h"

namespace mneme {

void write_peft(const std::filesystem::path& directory, const AdapterBank& bank, AdapterId id,
                const model::Transformer& model, const std::string& base_model) {
  const LoraOptions* options = bank.lora_options(id);
  MNEME_CHECK(options != nullptr, "adapter '{}' is no LoRA and has no PEFT form", bank.name(id));
  std::filesystem::create_directories(directory);
  std::set<std::string> targets;
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (const ParameterView& view : bank.views(id)) {
    const std::string& linear = model.linears()[static_cast<std::size_t>(view.linear)].name;
    targets.insert(linear.substr(linear.rfind('.') + 1));
    tensors.emplace_back(
        fmt::format("base_model.model.{}.lora_{}.weight", linear, view.role == ParameterRole::kLoraA ? "A" : "B"),
        view.of(bank.values(id)).detach().clone());
  }
  nlohmann::json config = {{"peft_type", "LORA"},
                           {"task_type", "CAUSAL_LM"},
                           {"base_model_name_or_path", base_model},
                           {"r", options->rank},
                           {"lora_alpha", options->alpha},
                           {"lora_dropout", options->dropout},
                           {"target_modules", targets},
                           {"bias", "none"},
                           {"fan_in_fan_out", false},
                           {"use_rslora", false},
                           {"inference_mode", true}};
  if (options->first_layer > 0) {
    std::vector<std::int64_t> layers;
    for (std::int64_t l = options->first_layer; l < model.config().num_hidden_layers; ++l) layers.push_back(l);
    config["layers_to_transform"] = layers;
    config["layers_pattern"] = "layers";
  }
  model::write_safetensors(directory / "adapter_model.safetensors", tensors, {{"format", "pt"}});
  write_file_atomically(directory / "adapter_config.json", config.dump(2) + "\n");
}

}  // namespace mneme
