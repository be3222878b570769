#include "core/model/blocks/half_product.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/model/blocks/fused.h"
#include "core/model/blocks/packed_weight.h"

namespace mneme::model::blocks {
namespace {

/// Few rows wait for the weight to come from memory: each thread reads a part of its columns then, where else each
/// would read all of it.
constexpr std::int64_t kFewRows = 64;

kernels::Conversion conversion(const at::Tensor& half, std::int64_t row, std::int64_t rows, float* wide) {
  return {.count = rows * half.size(1),
          .half = static_cast<at::BFloat16*>(half.data_ptr()) + row * half.size(1),
          .single = wide};
}

at::Tensor bytes(std::int64_t count) { return at::empty({count}, at::kByte); }

}  // namespace

WideRows::WideRows(std::int64_t columns) : space_(at::empty({kWideRows, columns}, at::kFloat)) {}

float* WideRows::load(const at::Tensor& half, std::int64_t row, std::int64_t rows) const {
  kernels::table().widen(conversion(half, row, rows, data()));
  return data();
}

void store_rows(const at::Tensor& half, std::int64_t row, std::int64_t rows, float* wide) {
  kernels::table().narrow(conversion(half, row, rows, wide));
}

HalfProduct::HalfProduct(const at::Tensor& left, std::int64_t columns) : left_(left), columns_(columns) {}

HalfProduct HalfProduct::forward(const at::Tensor& x, const GroupWeight& weight) {
  const c10::NoGradGuard no_grad;
  HalfProduct made(x, weight.out());
  if (kernels::matrix_unit() != nullptr && weight.packed) {
    made.packed_ = weight.packed->for_unit();
    if (weight.bias.defined()) made.bias_ = weight.bias.to(at::kFloat);
    if (x.size(0) <= kFewRows) made.compute_by_columns();
  } else {
    made.half_ = weight.packed ? weight.packed->product(x, weight.bias) : at::linear(x, weight.weight, weight.bias);
  }
  return made;
}

HalfProduct HalfProduct::backward(const at::Tensor& dy, const at::Tensor& weight) {
  const c10::NoGradGuard no_grad;
  HalfProduct made(dy, weight.size(1));
  if (kernels::matrix_unit() != nullptr && dy.size(0) > kFewRows)
    made.packed_ = packed_for_unit({.k = weight.size(0),
                                    .n = weight.size(1),
                                    .b = weight.const_data_ptr(),
                                    .b_row = weight.size(1)});
  else
    made.half_ = at::mm(dy, weight);
  return made;
}

double HalfProduct::work_per_row() const {
  return half_.defined() || wide_.defined() ? 0.0
                                            : 2.0 * static_cast<double>(left_.size(1)) * static_cast<double>(columns_);
}

kernels::UnitGemm HalfProduct::gemm(std::int64_t row, std::int64_t rows, float* into, std::int64_t stride) const {
  return {.m = rows,
          .n = columns_,
          .k = left_.size(1),
          .a = static_cast<const at::BFloat16*>(left_.const_data_ptr()) + row * left_.size(1),
          .a_row = left_.size(1),
          .b = packed_.const_data_ptr(),
          .c = into,
          .ldc = stride};
}

void HalfProduct::compute_by_columns() {
  const kernels::MatrixUnit& unit = *kernels::matrix_unit();
  const std::int64_t count = left_.size(0), k = left_.size(1), panels = (columns_ + unit.panel - 1) / unit.panel;
  wide_ = at::empty({count, columns_}, at::kFloat);
  for_rows(panels, 2.0 * static_cast<double>(count * k * unit.panel), [&](std::int64_t first, std::int64_t last) {
    const at::Tensor scratch = bytes(unit.scratch_size(kernels::Storage::kBFloat16, count, k));
    kernels::UnitGemm part = gemm(0, count, wide_.data_ptr<float>() + first * unit.panel, columns_);
    part.n = std::min(columns_, last * unit.panel) - first * unit.panel;
    part.b = static_cast<const char*>(part.b) + unit.packed_size(part.type, k, first * unit.panel);
    part.scratch = scratch.data_ptr();
    unit.gemm(part);
  });
}

float* HalfProduct::rows(std::int64_t row, std::int64_t rows, const WideRows& space) const {
  if (half_.defined()) return space.load(half_, row, rows);
  float* result = wide_.defined() ? wide_.data_ptr<float>() + row * columns_ : space.data();
  if (!wide_.defined()) {
    const kernels::MatrixUnit& unit = *kernels::matrix_unit();
    kernels::UnitGemm part = gemm(row, rows, result, columns_);
    const at::Tensor scratch = bytes(unit.scratch_size(part.type, rows, part.k));
    part.scratch = scratch.data_ptr();
    unit.gemm(part);
  }
  if (bias_.defined()) {
    const float* bias = bias_.const_data_ptr<float>();
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < columns_; ++j) result[i * columns_ + j] += bias[j];
  }
  return result;
}

at::Tensor HalfProduct::rounded() const {
  if (half_.defined()) return half_;
  const c10::NoGradGuard no_grad;
  const at::Tensor result = at::empty({left_.size(0), columns_}, at::kBFloat16);
  share_rows(left_.size(0), kWideRows, work_per_row(), [&] { return WideRows(columns_); },
             [&](std::int64_t row, std::int64_t count, const WideRows& space) {
               store_rows(result, row, count, rows(row, count, space));
             });
  return result;
}

}  // namespace mneme::model::blocks
