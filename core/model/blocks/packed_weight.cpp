#include "core/model/blocks/packed_weight.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/cpu/Utils.h>
#include <c10/core/GradMode.h>

#include "core/model/kernels/matrix_unit.h"

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

PackedWeight::PackedWeight(const at::Tensor& weight, MatmulPrecision precision)
    : weight_(weight.detach().contiguous()),
      on_unit_(kernels::matrix_unit() != nullptr &&
               (weight.scalar_type() == at::kBFloat16 || precision == MatmulPrecision::kHigh)),
      forward_(weight_.t(), on_unit_),
      backward_(weight_, on_unit_) {}

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
  std::call_once(ordered_once_, [&] { ordered_ = half_order(weight_); });
  return half_product(x, ordered_, bias);
}

}  // namespace mneme::model::blocks
