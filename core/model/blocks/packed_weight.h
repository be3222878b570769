#pragma once

#include <ATen/core/Tensor.h>

#include <mutex>

#include "core/model/kernels/kernels.h"
#include "core/model/kernels/matrix_unit.h"

namespace mneme::model::blocks {

/// A matrix in the order in which the kernels read it; `out` is filled in.
at::Tensor packed(kernels::Pack matrix);

/// A bf16 matrix in the order in which the matrix unit reads it; `out` is filled in.
at::Tensor packed_for_unit(kernels::UnitPack matrix);

/// A weight [out, in] on the CPU in the order in which products read it fastest, made when first asked for.
class PackedWeight {
 public:
  /// \param weight fp32, or bf16 where packs_half()
  explicit PackedWeight(const at::Tensor& weight);

  /// Whether this machine has products of packed bf16 weights.
  static bool packs_half();

  /// fp32, for y = x Wᵀ: the kernels' form of Wᵀ [in, out].
  const float* forward() const;
  /// fp32, for dx = dy W: the kernels' form of W [out, in].
  const float* backward() const;

  /// bf16, for y = x Wᵀ on the matrix unit, where there is one: its form of Wᵀ [in, out].
  const at::Tensor& for_unit() const;
  /// bf16, where there is no matrix unit: x Wᵀ + bias, [R, in] -> [R, out].
  /// \param bias may be undefined
  at::Tensor product(const at::Tensor& x, const at::Tensor& bias) const;

 private:
  at::Tensor weight_;
  mutable std::once_flag forward_once_, backward_once_;
  mutable at::Tensor forward_, backward_;
};

}  // namespace mneme::model::blocks
