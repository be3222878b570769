#include "core/model/blocks/right_factor.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "core/model/blocks/fused.h"
#include "core/model/kernels/matrix_unit.h"

namespace mneme::model::blocks {
namespace {

at::Tensor bytes(std::int64_t count) { return at::empty({count}, at::kByte); }

const std::uint8_t* at_element(const at::Tensor& t, std::int64_t index) {
  return static_cast<const std::uint8_t*>(t.const_data_ptr()) + index * static_cast<std::int64_t>(t.element_size());
}

}  // namespace

/// Some columns of B, whole panels but for the last.
struct RightFactor::Panels {
  std::int64_t column, columns;
  std::int64_t offset, size;  ///< of the packed form, in bytes
  const void* data = nullptr;
};

RightFactor::RightFactor(const at::Tensor& matrix, bool on_unit)
    : matrix_(matrix), on_unit_(on_unit), panel_(on_unit ? kernels::matrix_unit()->panel : kernels::table().panel) {}

RightFactor::Panels RightFactor::panels(std::int64_t first, std::int64_t count) const {
  const std::int64_t k = matrix_.size(0), column = first * panel_, end = std::min((first + count) * panel_, columns());
  const auto size = [&](std::int64_t n) {
    return on_unit_ ? kernels::matrix_unit()->packed_size(storage_of(matrix_), k, n)
                    : kernels::table().packed_size(k, n) * static_cast<std::int64_t>(sizeof(float));
  };
  return {.column = column, .columns = end - column, .offset = size(column), .size = size(end - column)};
}

void RightFactor::pack(const Panels& panels, void* out) const {
  const std::int64_t k = matrix_.size(0), b_row = matrix_.stride(0), b_col = matrix_.stride(1);
  const auto* from = at_element(matrix_, panels.column * b_col);
  if (on_unit_)
    kernels::matrix_unit()->pack({.type = storage_of(matrix_),
                                  .k = k,
                                  .n = panels.columns,
                                  .b = from,
                                  .b_row = b_row,
                                  .b_col = b_col,
                                  .out = out});
  else
    kernels::table().pack({.k = k,
                           .n = panels.columns,
                           .b = reinterpret_cast<const float*>(from),
                           .b_row = b_row,
                           .b_col = b_col,
                           .out = static_cast<float*>(out)});
}

void RightFactor::multiply(const at::Tensor& left, std::int64_t row, std::int64_t rows, const Panels& panels,
                           float* into) const {
  const std::int64_t k = matrix_.size(0);
  if (!on_unit_)
    return kernels::table().gemm({.m = rows,
                                  .n = panels.columns,
                                  .k = k,
                                  .a = reinterpret_cast<const float*>(at_element(left, row * k)),
                                  .a_row = k,
                                  .b = static_cast<const float*>(panels.data),
                                  .c = into,
                                  .ldc = columns()});
  const kernels::MatrixUnit& unit = *kernels::matrix_unit();
  const at::Tensor scratch = bytes(unit.scratch_size(storage_of(left), rows, k));
  unit.gemm({.type = storage_of(left),
             .m = rows,
             .n = panels.columns,
             .k = k,
             .a = at_element(left, row * k),
             .a_row = k,
             .b = panels.data,
             .c = into,
             .ldc = columns(),
             .scratch = scratch.data_ptr()});
}

const at::Tensor& RightFactor::packed() const {
  std::call_once(once_, [this] {
    const c10::NoGradGuard no_grad;
    const std::int64_t count = (columns() + panel_ - 1) / panel_;
    packed_ = bytes(panels(0, count).size);
    share_panels(count, 4.0 * static_cast<double>(matrix_.size(0) * panel_),
                 [&](std::int64_t first, std::int64_t some) {
                   const Panels part = panels(first, some);
                   pack(part, packed_.data_ptr<std::uint8_t>() + part.offset);
                 });
  });
  return packed_;
}

void RightFactor::multiply_rows(const at::Tensor& left, std::int64_t row, std::int64_t rows, float* into) const {
  Panels all = panels(0, columns());
  all.data = packed().const_data_ptr();
  multiply(left, row, rows, all, into);
}

void RightFactor::multiply_few(const at::Tensor& left, float* into) const {
  const bool keep = asked_.exchange(true);
  const std::uint8_t* all = keep ? packed().const_data_ptr<std::uint8_t>() : nullptr;
  const double work = 2.0 * static_cast<double>(left.numel() * panel_);
  share_panels((columns() + panel_ - 1) / panel_, work, [&](std::int64_t first, std::int64_t count) {
    if (keep) {
      Panels part = panels(first, count);
      part.data = all + part.offset;
      return multiply(left, 0, left.size(0), part, into + part.column);
    }
    const at::Tensor space = bytes(panels(first, 1).size);
    for (std::int64_t i = first; i < first + count; ++i) {
      Panels part = panels(i, 1);
      part.data = space.const_data_ptr();
      pack(part, space.data_ptr());
      multiply(left, 0, left.size(0), part, into + part.column);
    }
  });
}

}  // namespace mneme::model::blocks
