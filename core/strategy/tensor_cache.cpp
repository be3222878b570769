#include "core/strategy/tensor_cache.h"

#include <ATen/ATen.h>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/model/safetensors.h"

namespace mneme {
namespace fs = std::filesystem;

namespace {
/// The file's tensor, undefined if there is no whole file of this key.
at::Tensor read(const fs::path& file, const std::string& key) {
  if (!fs::exists(file)) return {};
  try {
    if (model::read_safetensors_metadata(file)["key"] == key)
      if (const auto tensors = model::read_safetensors(file); tensors.contains("value")) return tensors.at("value");
    spdlog::warn("{}: is not the cached tensor that its name says; making it anew", file.string());
  } catch (const Error& e) {
    spdlog::warn("{}; making the cached tensor anew", e.what());
  }
  return {};
}

void write(const fs::path& file, const std::string& key, const at::Tensor& value) {
  try {
    fs::create_directories(file.parent_path());
    model::write_safetensors(file, {{"value", value}}, {{"key", key}});
  } catch (const std::exception& e) {
    spdlog::warn("a cached tensor is not written: {}", e.what());
  }
}
}  // namespace

at::Tensor TensorCache::get(const std::string& key, const std::function<at::Tensor()>& compute) {
  at::Tensor& value = held_[key];
  if (value.defined()) return value;
  const std::string digest = sha256_hex(key);
  const fs::path file =
      directory_.empty() ? fs::path() : directory_ / "features" / digest.substr(0, 2) / (digest + ".safetensors");
  if (!file.empty()) value = read(file, key);
  if (value.defined()) return value;
  value = compute().detach().contiguous();
  if (!file.empty()) write(file, key, value);
  return value;
}

}  // namespace mneme
