#include "core/model/blocks/add_norm.h"

#include <ATen/ATen.h>

namespace mneme::model::blocks {
namespace {

AddNormOutput reference(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight, double eps) {
  const at::Tensor sum = delta.defined() ? x + delta : x;
  const at::Tensor wide = sum.scalar_type() == at::kBFloat16 ? sum.to(at::kFloat) : sum;
  const at::Tensor scaled = wide * at::rsqrt(at::mean(wide * wide, -1, true) + eps);
  return {.normed = weight * scaled.to(sum.scalar_type()), .residual = sum};
}

}  // namespace

AddNormOutput add_norm(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight, double eps,
                       const BlockContext&) {
  return reference(x, delta, weight, eps);
}

}  // namespace mneme::model::blocks
