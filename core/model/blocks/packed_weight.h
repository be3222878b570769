#pragma once

#include <ATen/core/Tensor.h>

#include <mutex>

#include "core/model/blocks/backend.h"
#include "core/model/blocks/right_factor.h"

namespace mneme::model::blocks {

/// A weight [out, in] on the CPU in the order in which products read it fastest, made when first asked for.
class PackedWeight {
 public:
  /// \param weight fp32, or bf16 where packs_half()
  explicit PackedWeight(const at::Tensor& weight, MatmulPrecision precision = MatmulPrecision::kHighest);

  /// Whether this machine has products of packed bf16 weights.
  static bool packs_half();

  /// Whether products run on the CPU's matrix unit: where there is one in bf16, and in fp32 of high precision.
  bool on_unit() const { return on_unit_; }
  /// For y = x Wᵀ: Wᵀ [in, out]. Not in bf16 without a matrix unit.
  const RightFactor& forward() const { return forward_; }
  /// fp32, for dx = dy W: W [out, in]. In bf16 to keep it would take more memory than it gains time.
  const RightFactor& backward() const { return backward_; }

  /// bf16 without a matrix unit: x Wᵀ + bias, [R, in] -> [R, out].
  /// \param bias may be undefined
  at::Tensor product(const at::Tensor& x, const at::Tensor& bias) const;

 private:
  at::Tensor weight_;
  bool on_unit_;
  RightFactor forward_, backward_;
  mutable std::once_flag ordered_once_;
  mutable at::Tensor ordered_;  ///< for product()
};

}  // namespace mneme::model::blocks
