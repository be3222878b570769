#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace mneme::model {

/// Reads a safetensors file through a memory map. The tensors returned share the map (it lives as long as they do) and
/// must not be written. Truncated, overlapping, oversized or otherwise hostile headers are an Error naming the file,
/// the tensor, what was found and what was expected; nothing is allocated by a header's word alone.
std::map<std::string, at::Tensor> read_safetensors(const std::filesystem::path& file);

/// The file's `__metadata__` texts; empty if it has none.
std::map<std::string, std::string> read_safetensors_metadata(const std::filesystem::path& file);

/// Writes named tensors (any device, made contiguous) in the given order; atomically replaces the file.
void write_safetensors(const std::filesystem::path& file,
                       const std::vector<std::pair<std::string, at::Tensor>>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace mneme::model
