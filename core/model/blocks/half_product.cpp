#include "core/model/blocks/half_product.h"

#include <ATen/ATen.h>

#include "core/model/blocks/fused.h"
#include "core/model/blocks/packed_weight.h"

namespace mneme::model::blocks {
namespace {

kernels::Conversion conversion(const at::Tensor& half, std::int64_t row, std::int64_t rows, float* wide) {
  return {.count = rows * half.size(1),
          .half = static_cast<at::BFloat16*>(half.data_ptr()) + row * half.size(1),
          .single = wide};
}

}  // namespace

WideRows::WideRows(std::int64_t columns) : space_(at::empty({kWideRows, columns}, at::kFloat)) {}

float* WideRows::load(const at::Tensor& half, std::int64_t row, std::int64_t rows) const {
  kernels::table().widen(conversion(half, row, rows, data()));
  return data();
}

void store_rows(const at::Tensor& half, std::int64_t row, std::int64_t rows, float* wide) {
  kernels::table().narrow(conversion(half, row, rows, wide));
}

HalfProduct HalfProduct::forward(const at::Tensor& x, const GroupWeight& weight) {
  const c10::NoGradGuard no_grad;
  HalfProduct made(x.size(0), weight.out());
  if (weight.packed && weight.packed->on_unit()) {
    made.unit_.emplace(x, weight.packed->forward(), made.columns_);
    if (weight.bias.defined()) made.bias_ = weight.bias.to(at::kFloat);
    if (made.rows_ <= kFewRows) {
      made.wide_ = at::empty({made.rows_, made.columns_}, at::kFloat);
      made.unit_->by_columns(made.wide_.data_ptr<float>());
    }
  } else {
    made.half_ = weight.packed ? weight.packed->product(x, weight.bias) : at::linear(x, weight.weight, weight.bias);
  }
  return made;
}

HalfProduct HalfProduct::backward(const at::Tensor& dy, const at::Tensor& weight) {
  const c10::NoGradGuard no_grad;
  HalfProduct made(dy.size(0), weight.size(1));
  if (kernels::matrix_unit() != nullptr && made.rows_ > kFewRows)
    made.unit_.emplace(
        dy,
        packed_for_unit(
            {.k = weight.size(0), .n = weight.size(1), .b = weight.const_data_ptr(), .b_row = weight.size(1)}),
        made.columns_);
  else
    made.half_ = at::mm(dy, weight);
  return made;
}

double HalfProduct::work_per_row() const { return unit_ && !wide_.defined() ? unit_->work_per_row() : 0.0; }

float* HalfProduct::rows(std::int64_t row, std::int64_t rows, const WideRows& space) const {
  if (!unit_) return space.load(half_, row, rows);
  float* result = wide_.defined() ? wide_.data_ptr<float>() + row * columns_ : space.data();
  if (!wide_.defined()) unit_->rows(row, rows, result);
  if (bias_.defined()) {
    const float* bias = bias_.const_data_ptr<float>();
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < columns_; ++j) result[i * columns_ + j] += bias[j];
  }
  return result;
}

at::Tensor HalfProduct::rounded() const {
  if (!unit_) return half_;
  const c10::NoGradGuard no_grad;
  const at::Tensor result = at::empty({rows_, columns_}, at::kBFloat16);
  share_rows(
      rows_, kWideRows, work_per_row(), [&] { return WideRows(columns_); },
      [&](std::int64_t row, std::int64_t count, const WideRows& space) {
        store_rows(result, row, count, rows(row, count, space));
      });
  return result;
}

}  // namespace mneme::model::blocks
