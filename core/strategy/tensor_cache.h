#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>

namespace mneme {

/// Tensors that are costly to compute, by the name of all that they follow from: in memory, and as safetensors files
/// `directory`/features/<2 hex digits>/<SHA-256 of the key>.safetensors for other runs. A file that is missing, broken
/// or cannot be written costs time, nothing else.
class TensorCache {
 public:
  /// \param directory empty: memory alone
  explicit TensorCache(std::filesystem::path directory) : directory_(std::move(directory)) {}

  at::Tensor get(const std::string& key, const std::function<at::Tensor()>& compute);

 private:
  std::filesystem::path directory_;
  std::map<std::string, at::Tensor> held_;
};

}  // namespace mneme
