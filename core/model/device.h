#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <span>
#include <string>

namespace mneme::model {

/// Whether a name is one of "cpu", "cuda" (the first GPU), "cuda:1" and so on.
bool is_device_name(const std::string& name);

/// The device of a name. The first GPU that is asked for loads LibTorch's CUDA library, which a program on the CPU
/// never needs. Throws Error if the name means none, the library cannot be loaded, or there is no such GPU.
c10::Device open_device(const std::string& name);

/// A tensor of the CPU on the device, without waiting for what the device is doing; differentiable.
at::Tensor on_device(const at::Tensor& tensor, c10::Device device);

/// Indices as an int64 tensor on the device.
at::Tensor index_on(std::span<const std::int64_t> values, c10::Device device);

}  // namespace mneme::model
