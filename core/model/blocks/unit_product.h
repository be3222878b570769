#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/model/kernels/matrix_unit.h"

namespace mneme::model::blocks {

/// A matrix, bf16 or fp32, in the order in which the matrix unit reads it; `out` is filled in.
at::Tensor packed_for_unit(kernels::UnitPack matrix);

/// A product [R, k] · [k, n] on the CPU's matrix unit.
class UnitProduct {
 public:
  /// \param left contiguous, bf16 or fp32 as the right factor
  /// \param packed the right factor, by packed_for_unit()
  UnitProduct(const at::Tensor& left, const at::Tensor& packed, std::int64_t columns);

  double work_per_row() const { return 2.0 * static_cast<double>(all_.k) * static_cast<double>(all_.n); }
  /// Some rows, [rows, n], in the calling thread.
  void rows(std::int64_t row, std::int64_t rows, float* into) const;
  /// All rows, [R, n]; the threads share the columns.
  void by_columns(float* into) const;

 private:
  at::Tensor left_, packed_;
  kernels::UnitGemm all_;
};

}  // namespace mneme::model::blocks
