#include "core/train/optimizer.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "core/base/error.h"

namespace mneme {

void AdamW::reset(std::int64_t size) {
  first_moment_ = at::zeros({size}, at::kFloat);
  second_moment_ = at::zeros({size}, at::kFloat);
  steps_ = 0;
}

void AdamW::step(at::Tensor& values, at::Tensor& gradient, double learning_rate,
                 const std::vector<OptimizerSegment>& segments) {
  MNEME_CHECK(values.numel() == size() && gradient.numel() == size(),
              "the optimiser holds moments of {} parameters, the step has {} values and {} gradients", size(),
              values.numel(), gradient.numel());
  at::NoGradGuard off;
  ++steps_;
  for (const OptimizerSegment& segment : segments) {
    if (segment.learning_rate_scale == 0 || segment.size == 0) continue;
    const auto part = [&segment](const at::Tensor& whole) { return whole.narrow(0, segment.offset, segment.size); };
    const at::Tensor count = at::full({}, static_cast<float>(steps_), at::kFloat);
    at::_fused_adamw_({part(values)}, {part(gradient)}, {part(first_moment_)}, {part(second_moment_)}, {}, {count},
                      learning_rate * segment.learning_rate_scale, options_.beta1, options_.beta2, segment.weight_decay,
                      options_.epsilon, /*amsgrad=*/false, /*maximize=*/false);
  }
}

void AdamW::visit_state(StateVisitor& visitor) {
  visitor.tensor("first_moment", first_moment_);
  visitor.tensor("second_moment", second_moment_);
  visitor.integer("steps", steps_);
}

double clip_gradient(at::Tensor& gradient, double limit) {
  const double norm = gradient.norm().item<double>();
  // The small term is that of torch.nn.utils.clip_grad_norm_.
  if (limit > 0 && norm > limit) gradient.mul_(limit / (norm + 1e-6));
  return norm;
}

}  // namespace mneme
