#include "core/model/blocks/label_loss.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "core/model/blocks/fused.h"
#include "core/model/device.h"

namespace mneme::model::blocks {
namespace {

at::Tensor reference(const at::Tensor& logits, const at::Tensor& labels) {
  const at::ScalarType wide = logits.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return at::cross_entropy_loss(logits.to(wide), labels, {}, at::Reduction::None);
}

/// Runs a kernel over row ranges; pointers of `all` are those of the first row.
void run_rows(void (*kernel)(const kernels::LabelLoss&), const kernels::LabelLoss& all, std::size_t element) {
  for_rows(all.rows, 40.0 * static_cast<double>(all.classes), [&](std::int64_t first, std::int64_t last) {
    const auto offset = static_cast<std::size_t>(first * all.classes) * element;
    kernels::LabelLoss part = all;
    part.rows = last - first;
    part.logits = static_cast<const char*>(all.logits) + offset;
    part.labels += first;
    part.normalisers += first;
    if (all.losses != nullptr) part.losses += first;
    if (all.grad != nullptr) part.grad += first;
    if (all.grad_logits != nullptr) part.grad_logits = static_cast<char*>(all.grad_logits) + offset;
    kernel(part);
  });
}

class LabelLossNode final : public BackwardNode {
 public:
  std::string name() const override { return "LabelLossBackward"; }
  at::Tensor logits, labels, normalisers;

 protected:
  Gradients backward(Gradients&& gradients) override {
    if (!gradients[0].defined()) return {at::Tensor()};
    at::Tensor result = at::empty_like(logits);
    const at::Tensor grad = gradients[0].to(at::kFloat).contiguous();
    run_rows(kernels::table().label_loss_backward,
             {.type = storage_of(logits),
              .rows = logits.size(0),
              .classes = logits.size(1),
              .logits = logits.const_data_ptr(),
              .labels = labels.const_data_ptr<std::int64_t>(),
              .normalisers = normalisers.data_ptr<float>(),
              .grad = grad.const_data_ptr<float>(),
              .grad_logits = result.data_ptr()},
             logits.element_size());
    return {result};
  }
  void release() override { logits = labels = normalisers = at::Tensor(); }
};

at::Tensor fused(const at::Tensor& logits, const at::Tensor& labels) {
  at::Tensor losses, normalisers;
  {
    const c10::NoGradGuard no_grad;
    losses = at::empty({logits.size(0)}, at::kFloat);
    normalisers = at::empty({logits.size(0)}, at::kFloat);
  }
  run_rows(kernels::table().label_loss_forward,
           {.type = storage_of(logits),
            .rows = logits.size(0),
            .classes = logits.size(1),
            .logits = logits.const_data_ptr(),
            .labels = labels.const_data_ptr<std::int64_t>(),
            .losses = losses.data_ptr<float>(),
            .normalisers = normalisers.data_ptr<float>()},
           logits.element_size());
  if (!records(logits)) return losses;
  auto node = make_node<LabelLossNode>(torch::autograd::collect_next_edges(logits));
  node->logits = logits.detach();
  node->labels = labels;
  node->normalisers = normalisers;
  torch::autograd::set_history(losses, node);
  return losses;
}

}  // namespace

at::Tensor label_loss(const at::Tensor& logits, const at::Tensor& labels, const BlockContext& context) {
  MNEME_CHECK(labels.dim() == 1 && labels.size(0) == logits.size(0),
              "{} rows of logits and {} labels; expected as many", logits.size(0), labels.numel());
  const std::int64_t* ids = labels.const_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < labels.numel(); ++i)
    MNEME_CHECK(ids[i] >= 0 && ids[i] < logits.size(1), "Label {} is {}; the vocabulary has {} tokens", i, ids[i],
                logits.size(1));
  if (!takes_fused(context, logits)) return reference(logits, on_device(labels, logits.device()));
  return fused(logits.contiguous(), labels);
}

}  // namespace mneme::model::blocks
