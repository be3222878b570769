#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/adapter/forward_spec.h"

namespace mneme {

enum class ParameterRole { kLoraA, kLoraB, kWeight, kFree };

/// A named tensor inside the flat parameter vector of an adapter or of all trainable ones.
struct ParameterView {
  std::string name;  ///< "default/model.layers.0.self_attn.q_proj.lora_A"
  AdapterId adapter = 0;
  ParameterRole role = ParameterRole::kFree;
  std::int64_t linear = -1;  ///< index in Transformer::linears(), -1 for other parameters
  std::vector<std::int64_t> shape;
  std::int64_t offset = 0;  ///< in the flat vector that the view was asked of

  std::int64_t size() const;
  /// The part of a flat vector [n] that this view names, in its shape; shares storage.
  at::Tensor of(const at::Tensor& flat) const;
};

}  // namespace mneme
