#pragma once

#include <filesystem>
#include <string>

#include "core/adapter/bank.h"

namespace mneme {

/// Writes a low-rank adapter as a PEFT directory: adapter_config.json and adapter_model.safetensors.
/// \param base_model what PEFT shall find under base_model_name_or_path.
void write_peft(const std::filesystem::path& directory, const AdapterBank& bank, AdapterId id,
                const model::Transformer& model, const std::string& base_model);

}  // namespace mneme
