#include "core/model/blocks/swiglu.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "core/model/blocks/fused.h"

namespace mneme::model::blocks {
namespace {

at::Tensor reference(const at::Tensor& gate_up) {
  const std::int64_t width = gate_up.size(1) / 2;
  return at::silu(gate_up.narrow(1, 0, width)) * gate_up.narrow(1, width, width);
}

/// Runs a kernel over row ranges. \param grad undefined in the forward pass
void run_rows(void (*kernel)(const kernels::Swiglu&), const at::Tensor& gate_up, const at::Tensor& grad,
              const at::Tensor& out) {
  const std::int64_t width = gate_up.size(1) / 2;
  for_rows(gate_up.size(0), 60.0 * static_cast<double>(width), [&](std::int64_t first, std::int64_t last) {
    const auto at = [&](const at::Tensor& t) {
      return static_cast<char*>(t.data_ptr()) + static_cast<std::size_t>(first * t.size(1)) * t.element_size();
    };
    kernel({.type = storage_of(gate_up),
            .rows = last - first,
            .width = width,
            .gate_up = at(gate_up),
            .grad = grad.defined() ? at(grad) : nullptr,
            .out = at(out)});
  });
}

class SwigluNode final : public BackwardNode {
 public:
  std::string name() const override { return "SwigluBackward"; }
  at::Tensor gate_up;

 protected:
  Gradients backward(Gradients&& gradients) override {
    if (!gradients[0].defined()) return {at::Tensor()};
    at::Tensor result = at::empty_like(gate_up);
    run_rows(kernels::table().swiglu_backward, gate_up, gradients[0].contiguous(), result);
    return {result};
  }
  void release() override { gate_up = at::Tensor(); }
};

at::Tensor fused(const at::Tensor& gate_up) {
  at::Tensor out;
  {
    const c10::NoGradGuard no_grad;
    out = at::empty({gate_up.size(0), gate_up.size(1) / 2}, gate_up.options());
  }
  run_rows(kernels::table().swiglu_forward, gate_up, {}, out);
  if (!records(gate_up)) return out;
  auto node = make_node<SwigluNode>(torch::autograd::collect_next_edges(gate_up));
  node->gate_up = gate_up.detach();
  torch::autograd::set_history(out, node);
  return out;
}

}  // namespace

at::Tensor swiglu(const at::Tensor& gate_up, const BlockContext& context) {
  return takes_fused(context, gate_up) ? fused(gate_up.contiguous()) : reference(gate_up);
}

}  // namespace mneme::model::blocks
