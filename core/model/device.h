#pragma once

#include <c10/core/Device.h>

#include <string>

namespace mneme::model {

/// The device of a name: "cpu", "cuda" (the first GPU), "cuda:1". The first GPU that is asked for loads LibTorch's CUDA
/// library, which a program on the CPU never needs. Throws Error if the name means none, the library cannot be loaded,
/// or there is no such GPU.
c10::Device open_device(const std::string& name);

}  // namespace mneme::model
