#include "core/model/device.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <dlfcn.h>

#include <charconv>
#include <optional>

#include "core/base/error.h"

namespace mneme::model {
namespace {

/// The number of a GPU in "cuda" or "cuda:N".
std::optional<int> gpu_index(const std::string& name) {
  if (name == "cuda") return 0;
  if (!name.starts_with("cuda:")) return std::nullopt;
  int index = -1;
  const char* end = name.data() + name.size();
  const auto [last, error] = std::from_chars(name.data() + 5, end, index);
  if (error != std::errc() || last != end || index < 0 || index > 127) return std::nullopt;
  return index;
}

/// For attention that flash attention over packed sequences does not take.
void prefer_cudnn_attention() {
  using Kind = at::SDPBackend;
  std::vector<std::int64_t> order;
  for (const Kind kind : {Kind::cudnn_attention, Kind::flash_attention, Kind::efficient_attention, Kind::math})
    order.push_back(static_cast<std::int64_t>(kind));
  at::globalContext().setSDPPriorityOrder(order);
}

}  // namespace

bool is_device_name(const std::string& name) { return name == "cpu" || gpu_index(name); }

c10::Device open_device(const std::string& name) {
  if (name == "cpu") return c10::kCPU;
  const std::optional<int> index = gpu_index(name);
  if (!index) throw Error(fmt::format("device '{}' is unknown; expected cpu, cuda or cuda:N", name));
  if (::dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr)
    throw Error(
        fmt::format("device '{}': LibTorch's CUDA library cannot be loaded: {}; let LIBTORCH name a PyTorch with CUDA "
                    "whose libraries are installed, or use model.device=cpu",
                    name, ::dlerror()));
  const std::size_t count = at::globalContext().hasCUDA() ? at::detail::getCUDAHooks().deviceCount() : 0;
  if (static_cast<std::size_t>(*index) >= count)
    throw Error(fmt::format("device '{}': this machine has {} GPU(s) that CUDA can use; {}", name, count,
                            count == 0 ? "use model.device=cpu" : fmt::format("the last one is cuda:{}", count - 1)));
  prefer_cudnn_attention();
  return {c10::kCUDA, static_cast<c10::DeviceIndex>(*index)};
}

at::Tensor on_device(const at::Tensor& tensor, c10::Device device) {
  if (!device.is_cuda() || !tensor.is_cpu()) return tensor.to(device);
  // Autograd knows no way back through pinned copies.
  return (tensor.requires_grad() ? tensor : tensor.pin_memory()).to(device, /*non_blocking=*/true);
}

at::Tensor index_on(std::span<const std::int64_t> values, c10::Device device) {
  return on_device(at::tensor(at::IntArrayRef(values.data(), values.size()), at::kLong), device);
}

}  // namespace mneme::model
