#include "core/model/blocks/add_norm.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "core/model/blocks/fused.h"

namespace mneme::model::blocks {
namespace {

AddNormOutput reference(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight, double eps) {
  const at::Tensor sum = delta.defined() ? x + delta : x;
  const at::Tensor wide = sum.scalar_type() == at::kBFloat16 ? sum.to(at::kFloat) : sum;
  const at::Tensor scaled = wide * at::rsqrt(at::mean(wide * wide, -1, true) + eps);
  return {.normed = weight * scaled.to(sum.scalar_type()), .residual = sum};
}

/// Saves the sum and the scale of each row.
class AddNormNode final : public BackwardNode {
 public:
  enum Edge { kX, kDelta, kWeight };
  std::string name() const override { return "AddNormBackward"; }

  at::Tensor residual, weight, rstd;

 protected:
  Gradients backward(Gradients&& gradients) override {
    const at::Tensor dn = gradients[0].defined() ? gradients[0].contiguous() : gradients[0];
    const at::Tensor dh = gradients.size() > 1 && gradients[1].defined() ? gradients[1].contiguous() : at::Tensor();
    const bool need_x = needs(kX) || needs(kDelta);
    Gradients result(3);
    if (!dn.defined() && !dh.defined()) return result;
    kernels::AddNormBackward args{.type = storage_of(residual),
                                  .rows = residual.size(0),
                                  .dim = residual.size(1),
                                  .residual = residual.const_data_ptr(),
                                  .rstd = rstd.const_data_ptr<float>(),
                                  .weight = weight.const_data_ptr(),
                                  .grad_normed = dn.defined() ? dn.const_data_ptr() : nullptr,
                                  .grad_residual = dh.defined() ? dh.const_data_ptr() : nullptr};
    if (need_x) {
      const at::Tensor dx = at::empty_like(residual);
      args.grad_x = dx.data_ptr();
      run_rows(args, residual.element_size());
      if (needs(kX)) result[kX] = dx;
      if (needs(kDelta)) result[kDelta] = dx;
    }
    if (needs(kWeight) && dn.defined()) {
      const at::Tensor dw = at::zeros({args.dim}, at::kFloat);
      args.grad_x = nullptr;
      args.grad_weight = dw.data_ptr<float>();
      kernels::table().add_norm_backward(args);
      result[kWeight] = dw.to(weight.scalar_type());
    }
    return result;
  }

  void release() override { residual = weight = rstd = at::Tensor(); }

 private:
  static void run_rows(const kernels::AddNormBackward& all, std::size_t element) {
    for_rows(all.rows, 20.0 * static_cast<double>(all.dim), [&](std::int64_t first, std::int64_t last) {
      const auto offset = static_cast<std::size_t>(first * all.dim) * element;
      const auto at = [&](const void* p) { return p == nullptr ? p : static_cast<const char*>(p) + offset; };
      kernels::AddNormBackward part = all;
      part.rows = last - first;
      part.residual = at(all.residual);
      part.rstd = all.rstd + first;
      part.grad_normed = at(all.grad_normed);
      part.grad_residual = at(all.grad_residual);
      part.grad_x = static_cast<char*>(all.grad_x) + offset;
      kernels::table().add_norm_backward(part);
    });
  }
};

AddNormOutput fused(const at::Tensor& x_given, const at::Tensor& delta_given, const at::Tensor& weight, double eps) {
  const at::Tensor x = x_given.contiguous();
  const at::Tensor delta = delta_given.defined() ? delta_given.contiguous() : delta_given;
  const bool recorded = records(x, delta, weight);
  AddNormOutput out;
  at::Tensor rstd;
  {
    const c10::NoGradGuard no_grad;
    out.normed = at::empty_like(x);
    out.residual = delta.defined() ? at::empty_like(x) : x;
    rstd = at::empty({x.size(0)}, at::kFloat);
  }
  const std::int64_t dim = x.size(1);
  const auto element = x.element_size();
  for_rows(x.size(0), 12.0 * static_cast<double>(dim), [&](std::int64_t first, std::int64_t last) {
    const auto offset = static_cast<std::size_t>(first * dim) * element;
    const auto at = [&](const at::Tensor& t) { return static_cast<char*>(t.data_ptr()) + offset; };
    kernels::table().add_norm_forward({.type = storage_of(x),
                                       .rows = last - first,
                                       .dim = dim,
                                       .x = at(x),
                                       .delta = delta.defined() ? at(delta) : nullptr,
                                       .weight = weight.const_data_ptr(),
                                       .eps = eps,
                                       .residual = delta.defined() ? at(out.residual) : nullptr,
                                       .normed = at(out.normed),
                                       .rstd = rstd.data_ptr<float>() + first});
  });
  if (!recorded) return out;
  auto node = make_node<AddNormNode>(torch::autograd::collect_next_edges(x, delta, weight));
  node->residual = out.residual.detach();
  node->weight = weight.detach();
  node->rstd = rstd;
  torch::autograd::set_history(out.normed, node);
  if (delta.defined()) torch::autograd::set_history(out.residual, node);
  return out;
}

}  // namespace

AddNormOutput add_norm(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight, double eps,
                       const BlockContext& context) {
  return takes_fused(context, x) ? fused(x, delta, weight, eps) : reference(x, delta, weight, eps);
}

}  // namespace mneme::model::blocks
