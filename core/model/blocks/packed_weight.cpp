#include "core/model/blocks/packed_weight.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

namespace mneme::model::blocks {

at::Tensor packed(kernels::Pack matrix) {
  const c10::NoGradGuard no_grad;
  const at::Tensor result = at::empty({kernels::table().packed_size(matrix.k, matrix.n)}, at::kFloat);
  matrix.out = result.data_ptr<float>();
  kernels::table().pack(matrix);
  return result;
}

PackedWeight::PackedWeight(const at::Tensor& weight) : weight_(weight.detach().contiguous()) {}

const float* PackedWeight::forward() const {
  std::call_once(forward_once_, [&] {
    const std::int64_t out = weight_.size(0), in = weight_.size(1);
    forward_ = packed({.k = in, .n = out, .b = weight_.const_data_ptr<float>(), .b_row = 1, .b_col = in});
  });
  return forward_.const_data_ptr<float>();
}

const float* PackedWeight::backward() const {
  std::call_once(backward_once_, [&] {
    const std::int64_t out = weight_.size(0), in = weight_.size(1);
    backward_ = packed({.k = out, .n = in, .b = weight_.const_data_ptr<float>(), .b_row = in});
  });
  return backward_.const_data_ptr<float>();
}

}  // namespace mneme::model::blocks
