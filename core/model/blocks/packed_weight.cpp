#include "core/model/blocks/packed_weight.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/cpu/Utils.h>
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

/// oneDNN's product of a bf16 matrix and a weight in its own order, which at::linear() would bring it into at each
/// call.
at::Tensor half_product(const at::Tensor& x, const at::Tensor& packed, const at::Tensor& bias) {
  using Attributes = c10::List<std::optional<at::Scalar>>;
  static const auto linear =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("mkldnn::_linear_pointwise", "")
          .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, c10::string_view,
                            Attributes, std::optional<c10::string_view>)>();
  const std::optional<at::Tensor> added = bias.defined() ? std::optional(bias) : std::nullopt;
  return linear.call(x, packed, added, "none", Attributes(), std::nullopt);
}

at::Tensor half_order(const at::Tensor& weight) {
  static const auto reorder = c10::Dispatcher::singleton()
                                  .findSchemaOrThrow("mkldnn::_reorder_linear_weight", "")
                                  .typed<at::Tensor(const at::Tensor&, std::optional<std::int64_t>)>();
  return reorder.call(weight, std::nullopt);
}

}  // namespace

bool PackedWeight::packs_half() {
  static const bool packs =
      at::hasMKLDNN() && at::cpu::is_avx512_vnni_supported() &&
      c10::Dispatcher::singleton().findSchema({"mkldnn::_reorder_linear_weight", ""}).has_value() &&
      c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""}).has_value();
  return packs;
}

at::Tensor PackedWeight::product(const at::Tensor& x, const at::Tensor& bias) const {
  const c10::NoGradGuard no_grad;
  std::call_once(forward_once_, [&] { forward_ = half_order(weight_.detach().contiguous()); });
  return half_product(x, forward_, bias);
}

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
