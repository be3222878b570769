#pragma once

#include <ATen/core/Tensor.h>

#include <mutex>

#include "core/model/blocks/backend.h"
#include "core/model/kernels/kernels.h"

namespace mneme::model::blocks {

/// A matrix in the order in which the kernels read it; `out` is filled in.
at::Tensor packed(kernels::Pack matrix);

/// Rows up to which a product waits for the weight to come from memory: each thread reads a part of its columns then,
/// where else each would read all of it.
constexpr std::int64_t kFewRows = 64;

/// A weight [out, in] on the CPU in the order in which products read it fastest, made when first asked for.
class PackedWeight {
 public:
  /// \param weight fp32, or bf16 where packs_half()
  explicit PackedWeight(const at::Tensor& weight, MatmulPrecision precision = MatmulPrecision::kHighest);

  /// Whether this machine has products of packed bf16 weights.
  static bool packs_half();

  /// Whether forward() and backward() are for the CPU's matrix unit instead of the fp32 kernels: where there is one in
  /// bf16, and in fp32 of high precision.
  bool on_unit() const { return on_unit_; }
  /// For y = x Wᵀ: Wᵀ [in, out]. Not in bf16 without a matrix unit.
  const at::Tensor& forward() const;
  /// fp32, for dx = dy W: W [out, in]. In bf16 it would take more memory than it gains time.
  const at::Tensor& backward() const;

  /// bf16 without a matrix unit: x Wᵀ + bias, [R, in] -> [R, out].
  /// \param bias may be undefined
  at::Tensor product(const at::Tensor& x, const at::Tensor& bias) const;

 private:
  at::Tensor weight_;
  bool on_unit_;
  mutable std::once_flag forward_once_, backward_once_;
  mutable at::Tensor forward_, backward_;
};

}  // namespace mneme::model::blocks
