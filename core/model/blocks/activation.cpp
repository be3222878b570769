#include "core/model/blocks/activation.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "core/model/blocks/fused.h"

namespace mneme::model::blocks {
namespace {

at::Tensor apply(const at::Tensor& x, Activation::Function function) {
  switch (function) {
    case Activation::Function::kSilu:
      return at::silu(x);
    case Activation::Function::kGelu:
      return at::gelu(x);
    case Activation::Function::kGeluTanh:
      return at::gelu(x, "tanh");
    case Activation::Function::kRelu:
      return at::relu(x);
  }
  throw Error("there is no such activation function");
}

at::Tensor reference(const at::Tensor& x, const Activation& kind) {
  if (!kind.gated) return apply(x, kind.function);
  const std::int64_t width = x.size(1) / 2;
  return apply(x.narrow(1, 0, width), kind.function) * x.narrow(1, width, width);
}

/// Operands of a kernel; `grad` is undefined in the forward pass.
struct Operands {
  at::Tensor x, grad, out;
};

/// Runs a kernel over row ranges.
void run_rows(void (*kernel)(const kernels::Activation&), const Operands& operands, const Activation& kind) {
  const std::int64_t width = operands.x.size(1) / (kind.gated ? 2 : 1);
  for_rows(operands.x.size(0), 60.0 * static_cast<double>(width), [&](std::int64_t first, std::int64_t last) {
    const auto at = [&](const at::Tensor& t) {
      return static_cast<char*>(t.data_ptr()) + static_cast<std::size_t>(first * t.size(1)) * t.element_size();
    };
    kernel({.type = storage_of(operands.x),
            .function = kind.function,
            .gated = kind.gated,
            .rows = last - first,
            .width = width,
            .x = at(operands.x),
            .grad = operands.grad.defined() ? at(operands.grad) : nullptr,
            .out = at(operands.out)});
  });
}

class ActivationNode final : public BackwardNode {
 public:
  std::string name() const override { return "ActivationBackward"; }
  at::Tensor x;
  Activation kind;

 protected:
  Gradients backward(Gradients&& gradients) override {
    if (!gradients[0].defined()) return {at::Tensor()};
    at::Tensor result = at::empty_like(x);
    run_rows(kernels::table().activation_backward, {.x = x, .grad = gradients[0].contiguous(), .out = result}, kind);
    return {result};
  }
  void release() override { x = at::Tensor(); }
};

at::Tensor fused(const at::Tensor& x, const Activation& kind) {
  at::Tensor out;
  {
    const c10::NoGradGuard no_grad;
    out = at::empty({x.size(0), x.size(1) / (kind.gated ? 2 : 1)}, x.options());
  }
  run_rows(kernels::table().activation_forward, {.x = x, .grad = {}, .out = out}, kind);
  if (!records(x)) return out;
  auto node = make_node<ActivationNode>(torch::autograd::collect_next_edges(x));
  node->x = x.detach();
  node->kind = kind;
  torch::autograd::set_history(out, node);
  return out;
}

}  // namespace

at::Tensor activation(const at::Tensor& x, const Activation& kind, const BlockContext& context) {
  return takes_fused(context, x) ? fused(x.contiguous(), kind) : reference(x, kind);
}

}  // namespace mneme::model::blocks
