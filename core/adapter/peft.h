#pragma once

#include <filesystem>
#include <string>

#include "core/adapter/bank.h"

namespace mneme {

/// Writes a low-rank adapter, or a free parameter [P, D] as prompt tuning, as a PEFT directory: adapter_config.json and
/// adapter_model.safetensors.
/// \param base_model what PEFT shall find under base_model_name_or_path.
void write_peft(const std::filesystem::path& directory, const AdapterBank& bank, AdapterId id,
                const model::Transformer& model, const std::string& base_model);

/// Reads a PEFT directory (LoRA or prompt tuning) into a new adapter; a prompt becomes a free parameter [P, D].
/// Throws Error naming a field that asks for what is not supported, and one that lists every tensor which is missing,
/// unexpected or of another shape than the model's: an adapter of another model.
AdapterId read_peft(const std::filesystem::path& directory, AdapterBank& bank, const model::Transformer& model,
                    const std::string& name);

}  // namespace mneme
