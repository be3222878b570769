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

std::optional<Activation::Function> activation_function(std::string_view name) {
  if (name == "silu") return Activation::Function::kSilu;
  if (name == "gelu") return Activation::Function::kGelu;
  if (name == "gelu_tanh") return Activation::Function::kGeluTanh;
  if (name == "relu") return Activation::Function::kRelu;
  return std::nullopt;
}

at::Tensor activation(const at::Tensor& x, const Activation& kind, const BlockContext& context) {
  const bool swiglu = kind.gated && kind.function == Activation::Function::kSilu;
  return swiglu && takes_fused(context, x) ? fused(x.contiguous()) : reference(x, kind);
}

}  // namespace mneme::model::blocks
