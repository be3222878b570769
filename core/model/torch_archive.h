#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>

namespace mneme::model {

/// Reads a file that torch.save() wrote of a dictionary of tensors (pytorch_model.bin, one shard of such a model,
/// adapter_model.bin) through a memory map. The tensors are as those of read_safetensors(): they share the map, are
/// contiguous and must not be written; tied ones share their memory. The pickle within is interpreted as data, never
/// executed: only the few instructions and names are known that a dictionary of plain tensors is made of; any other is
/// an Error that names it, as are the format of before PyTorch 1.6 (no zip archive), compressed entries, and offsets
/// and sizes that point out of the file. Nothing is allocated by the file's word alone.
std::map<std::string, at::Tensor> read_torch_archive(const std::filesystem::path& file);

}  // namespace mneme::model
