#include "core/model/blocks/unit_product.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/model/blocks/fused.h"

namespace mneme::model::blocks {
namespace {

std::int64_t bytes_of(kernels::Storage type) { return type == kernels::Storage::kFloat ? 4 : 2; }

void run(kernels::UnitGemm product) {
  const kernels::MatrixUnit& unit = *kernels::matrix_unit();
  const at::Tensor scratch = at::empty({unit.scratch_size(product.type, product.m, product.k)}, at::kByte);
  product.scratch = scratch.data_ptr();
  unit.gemm(product);
}

}  // namespace

at::Tensor packed_for_unit(kernels::UnitPack matrix) {
  const c10::NoGradGuard no_grad;
  const kernels::MatrixUnit& unit = *kernels::matrix_unit();
  const at::Tensor result = at::empty({unit.packed_size(matrix.type, matrix.k, matrix.n)}, at::kByte);
  const std::int64_t panels = (matrix.n + unit.panel - 1) / unit.panel;
  for_rows(panels, 4.0 * static_cast<double>(matrix.k * unit.panel), [&](std::int64_t first, std::int64_t last) {
    const std::int64_t column = first * unit.panel;
    kernels::UnitPack part = matrix;
    part.n = std::min(matrix.n, last * unit.panel) - column;
    part.b = static_cast<const std::uint8_t*>(matrix.b) + column * matrix.b_col * bytes_of(matrix.type);
    part.out = result.data_ptr<std::uint8_t>() + unit.packed_size(matrix.type, matrix.k, column);
    unit.pack(part);
  });
  return result;
}

UnitProduct::UnitProduct(const at::Tensor& left, const at::Tensor& packed, std::int64_t columns)
    : left_(left),
      packed_(packed),
      all_({.type = storage_of(left),
            .m = left.size(0),
            .n = columns,
            .k = left.size(1),
            .a = left.const_data_ptr(),
            .a_row = left.size(1),
            .b = packed.const_data_ptr(),
            .ldc = columns}) {}

void UnitProduct::rows(std::int64_t row, std::int64_t rows, float* into) const {
  kernels::UnitGemm part = all_;
  part.m = rows;
  part.a = static_cast<const std::uint8_t*>(all_.a) + row * all_.a_row * bytes_of(all_.type);
  part.c = into;
  run(part);
}

void UnitProduct::by_columns(float* into) const {
  const kernels::MatrixUnit& unit = *kernels::matrix_unit();
  const std::int64_t panels = (all_.n + unit.panel - 1) / unit.panel;
  const double work = 2.0 * static_cast<double>(all_.m * all_.k * unit.panel);
  for_rows(panels, work, [&](std::int64_t first, std::int64_t last) {
    const std::int64_t column = first * unit.panel;
    kernels::UnitGemm part = all_;
    part.n = std::min(all_.n, last * unit.panel) - column;
    part.b = static_cast<const std::uint8_t*>(all_.b) + unit.packed_size(all_.type, all_.k, column);
    part.c = into + column;
    run(part);
  });
}

}  // namespace mneme::model::blocks
