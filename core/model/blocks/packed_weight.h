#pragma once

#include <ATen/core/Tensor.h>

#include <mutex>
#include <utility>

namespace mneme::model::blocks {

/// A weight [out, in] in the order in which the kernels read it, made when first asked for. fp32 on the CPU.
class PackedWeight {
 public:
  explicit PackedWeight(at::Tensor weight) : weight_(std::move(weight)) {}

  /// For y = x Wᵀ: the kernels' form of Wᵀ [in, out].
  const float* forward() const;
  /// For dx = dy W: the kernels' form of W [out, in].
  const float* backward() const;

 private:
  at::Tensor weight_;
  mutable std::once_flag forward_once_, backward_once_;
  mutable at::Tensor forward_, backward_;
};

}  // namespace mneme::model::blocks
