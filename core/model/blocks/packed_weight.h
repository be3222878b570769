#pragma once

#include <ATen/core/Tensor.h>

#include <mutex>

#include "core/model/kernels/kernels.h"

namespace mneme::model::blocks {

/// A matrix in the order in which the kernels read it; `out` is filled in.
at::Tensor packed(kernels::Pack matrix);

/// A weight [out, in] in the order in which the kernels read it, made when first asked for. fp32 on the CPU.
class PackedWeight {
 public:
  explicit PackedWeight(const at::Tensor& weight);

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
