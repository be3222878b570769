#include "core/model/blocks/half_product.h"

#include <ATen/ATen.h>

#include "core/model/blocks/fused.h"
#include "core/model/blocks/packed_weight.h"
#include "core/model/kernels/matrix_unit.h"

namespace mneme::model::blocks {
namespace {

/// As kFewRows, for a right factor that is used once: panels that are brought into order one by one never leave the
/// cache, which is worth more rows.
constexpr std::int64_t kFewOnce = 256;

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

void HalfProduct::start(std::int64_t few) {
  if (left_.size(0) > few) return right_->prepare();
  wide_ = at::empty({left_.size(0), columns_}, at::kFloat);
  right_->multiply_few(left_, wide_.data_ptr<float>());
  add_bias(wide_.data_ptr<float>(), left_.size(0));
}

void HalfProduct::add_bias(float* rows, std::int64_t count) const {
  if (!bias_.defined()) return;
  const float* bias = bias_.const_data_ptr<float>();
  for (std::int64_t i = 0; i < count; ++i)
    for (std::int64_t j = 0; j < columns_; ++j) rows[i * columns_ + j] += bias[j];
}

HalfProduct HalfProduct::forward(const at::Tensor& x, const GroupWeight& weight) {
  const c10::NoGradGuard no_grad;
  HalfProduct made(x, weight.out());
  if (weight.packed && weight.packed->on_unit()) {
    made.right_ = {weight.packed, &weight.packed->forward()};
    if (weight.bias.defined()) made.bias_ = weight.bias.to(at::kFloat);
    made.start(kFewRows);
  } else {
    made.half_ = weight.packed ? weight.packed->product(x, weight.bias) : at::linear(x, weight.weight, weight.bias);
  }
  return made;
}

HalfProduct HalfProduct::backward(const at::Tensor& dy, const at::Tensor& weight) {
  const c10::NoGradGuard no_grad;
  HalfProduct made(dy, weight.size(1));
  if (kernels::matrix_unit() != nullptr) {
    made.right_ = std::make_shared<const RightFactor>(weight, true);
    made.start(kFewOnce);
  } else {
    made.half_ = at::mm(dy, weight);
  }
  return made;
}

double HalfProduct::work_per_row() const { return right_ && !wide_.defined() ? right_->work_per_row() : 0.0; }

float* HalfProduct::rows(std::int64_t row, std::int64_t rows, const WideRows& space) const {
  if (!right_) return space.load(half_, row, rows);
  if (wide_.defined()) return wide_.data_ptr<float>() + row * columns_;
  right_->multiply_rows(left_, row, rows, space.data());
  add_bias(space.data(), rows);
  return space.data();
}

at::Tensor HalfProduct::rounded() const {
  if (!right_) return half_;
  const c10::NoGradGuard no_grad;
  const at::Tensor result = at::empty({left_.size(0), columns_}, at::kBFloat16);
  share_rows(
      left_.size(0), kWideRows, work_per_row(), [&] { return WideRows(columns_); },
      [&](std::int64_t row, std::int64_t count, const WideRows& space) {
        store_rows(result, row, count, rows(row, count, space));
      });
  return result;
}

}  // namespace mneme::model::blocks
