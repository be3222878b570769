#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

#include "core/model/blocks/group_linear.h"
#include "core/model/blocks/right_factor.h"

namespace mneme::model::blocks {

/// Rows of bf16 matrices that are widened to fp32, or left in fp32 by a product, together: they stay in the
/// second-level cache.
constexpr std::int64_t kWideRows = 96;

/// Work space of one thread for kWideRows rows in fp32.
class WideRows {
 public:
  explicit WideRows(std::int64_t columns);

  float* data() const { return space_.data_ptr<float>(); }
  /// Widens some rows of a matrix into the space.
  float* load(const at::Tensor& half, std::int64_t row, std::int64_t rows) const;

 private:
  at::Tensor space_;
};

/// half[row..] = the rows at `wide`, rounded.
void store_rows(const at::Tensor& half, std::int64_t row, std::int64_t rows, float* wide);

/// A product of bf16 matrices, [R, k] · [k, n], whose rows are handed out in fp32 a few at a time, so that more can be
/// added before they are rounded: on the CPU's matrix unit if there is one, else by ATen, which rounds once more.
class HalfProduct {
 public:
  /// x Wᵀ + bias
  static HalfProduct forward(const at::Tensor& x, const GroupWeight& weight);
  /// dy W
  static HalfProduct backward(const at::Tensor& dy, const at::Tensor& weight);

  /// Floating point operations per row that are still to be done.
  double work_per_row() const;
  /// At most kWideRows rows, which the caller may change: in `space`, or where they lie already. Any thread may ask.
  float* rows(std::int64_t row, std::int64_t rows, const WideRows& space) const;
  /// All rows in bf16, [R, n].
  at::Tensor rounded() const;

 private:
  HalfProduct(const at::Tensor& left, std::int64_t columns) : left_(left), columns_(columns) {}
  /// Computes up to so many rows with right_, or lets it be prepared for more.
  void start(std::int64_t few);
  void add_bias(float* rows, std::int64_t count) const;

  at::Tensor left_;
  std::int64_t columns_;
  std::shared_ptr<const RightFactor> right_{};  ///< on the matrix unit
  at::Tensor bias_{};                           ///< fp32, beside right_; or undefined
  at::Tensor wide_{};                           ///< few rows are computed with right_ at once, [R, n]
  at::Tensor half_{};                           ///< without right_: ATen's result
};

}  // namespace mneme::model::blocks
