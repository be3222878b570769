#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "core/adapter/lora.h"

namespace mneme {

/// What an adapter_config.json of PEFT says: a LoRA, or else a soft prompt.
struct PeftConfig {
  std::optional<LoraOptions> lora{};
  bool chooses_layers = false;     ///< the LoRA is in some layers only: the tensors of its file say where
  std::int64_t prompt_tokens = 0;  ///< rows of a soft prompt
};

/// Throws Error naming the field that is damaged, or that asks for what adapters here do not compute.
PeftConfig read_peft_config(const std::filesystem::path& file);

}  // namespace mneme
