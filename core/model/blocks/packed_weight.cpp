#include "core/model/blocks/packed_weight.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "core/model/kernels/kernels.h"

namespace mneme::model::blocks {
namespace {

at::Tensor packed(const at::Tensor& weight, std::int64_t k, std::int64_t n, std::int64_t row, std::int64_t col) {
  const c10::NoGradGuard no_grad;
  const at::Tensor plain = weight.detach().contiguous();
  at::Tensor result = at::empty({kernels::table().packed_size(k, n)}, at::kFloat);
  kernels::table().pack(plain.const_data_ptr<float>(), k, n, row, col, 1.f, result.data_ptr<float>());
  return result;
}

}  // namespace

const float* PackedWeight::forward() const {
  std::call_once(forward_once_,
                 [&] { forward_ = packed(weight_, weight_.size(1), weight_.size(0), 1, weight_.size(1)); });
  return forward_.const_data_ptr<float>();
}

const float* PackedWeight::backward() const {
  std::call_once(backward_once_,
                 [&] { backward_ = packed(weight_, weight_.size(0), weight_.size(1), weight_.size(1), 1); });
  return backward_.const_data_ptr<float>();
}

}  // namespace mneme::model::blocks
