#include "core/model/blocks/packed_weight.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/cpu/Utils.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "core/model/blocks/fused.h"
#include "core/model/blocks/unit_product.h"

namespace mneme::model::blocks {
namespace {

/// oneDNN's product of a bf16 matrix and a weight in its own order, which at::linear() would bring it into at each
/// call.
at::Tensor half_product(const at::Tensor& x, const at::Tensor& ordered, const at::Tensor& bias) {
  using Attributes = c10::List<std::optional<at::Scalar>>;
  static const auto linear =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("mkldnn::_linear_pointwise", "")
          .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, c10::string_view,
                            Attributes, std::optional<c10::string_view>)>();
  const std::optional<at::Tensor> added = bias.defined() ? std::optional(bias) : std::nullopt;
  return linear.call(x, ordered, added, "none", Attributes(), std::nullopt);
}

at::Tensor half_order(const at::Tensor& weight) {
  static const auto reorder = c10::Dispatcher::singleton()
                                  .findSchemaOrThrow("mkldnn::_reorder_linear_weight", "")
                                  .typed<at::Tensor(const at::Tensor&, std::optional<std::int64_t>)>();
  return reorder.call(weight, std::nullopt);
}

}  // namespace

at::Tensor packed(kernels::Pack matrix) {
  const c10::NoGradGuard no_grad;
  const at::Tensor result = at::empty({kernels::table().packed_size(matrix.k, matrix.n)}, at::kFloat);
  matrix.out = result.data_ptr<float>();
  const std::int64_t panel = kernels::table().panel, panels = (matrix.n + panel - 1) / panel;
  for_rows(panels, 4.0 * static_cast<double>(matrix.k * panel), [&](std::int64_t first, std::int64_t last) {
    kernels::Pack part = matrix;
    part.n = std::min(matrix.n, last * panel) - first * panel;
    part.b += first * panel * matrix.b_col;
    part.out += first * panel * matrix.k;
    kernels::table().pack(part);
  });
  return result;
}

PackedWeight::PackedWeight(const at::Tensor& weight, MatmulPrecision precision)
    : weight_(weight.detach().contiguous()),
      on_unit_(kernels::matrix_unit() != nullptr &&
               (weight.scalar_type() == at::kBFloat16 || precision == MatmulPrecision::kHigh)) {}

const at::Tensor& PackedWeight::forward() const {
  std::call_once(forward_once_, [&] {
    const std::int64_t out = weight_.size(0), in = weight_.size(1);
    forward_ = on_unit_ ? packed_for_unit({.type = storage_of(weight_),
                                           .k = in,
                                           .n = out,
                                           .b = weight_.const_data_ptr(),
                                           .b_row = 1,
                                           .b_col = in})
                        : packed({.k = in, .n = out, .b = weight_.const_data_ptr<float>(), .b_row = 1, .b_col = in});
  });
  return forward_;
}

const at::Tensor& PackedWeight::backward() const {
  std::call_once(backward_once_, [&] {
    const std::int64_t out = weight_.size(0), in = weight_.size(1);
    backward_ = on_unit_
                    ? packed_for_unit(
                          {.type = storage_of(weight_), .k = out, .n = in, .b = weight_.const_data_ptr(), .b_row = in})
                    : packed({.k = out, .n = in, .b = weight_.const_data_ptr<float>(), .b_row = in});
  });
  return backward_;
}

bool PackedWeight::packs_half() {
  static const bool packs =
      kernels::matrix_unit() != nullptr ||
      (at::hasMKLDNN() && at::cpu::is_avx512_vnni_supported() &&
       c10::Dispatcher::singleton().findSchema({"mkldnn::_reorder_linear_weight", ""}).has_value() &&
       c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""}).has_value());
  return packs;
}

at::Tensor PackedWeight::product(const at::Tensor& x, const at::Tensor& bias) const {
  const c10::NoGradGuard no_grad;
  std::call_once(forward_once_, [&] { forward_ = half_order(weight_); });
  return half_product(x, forward_, bias);
}

}  // namespace mneme::model::blocks
