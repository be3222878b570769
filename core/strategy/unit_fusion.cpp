#include "core/strategy/unit_fusion.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "core/base/error.h"

namespace mneme {

at::Tensor min_max_normalised(const at::Tensor& importance) {
  const at::Tensor x = importance.to(at::kDouble);
  if (x.numel() == 0) return x;
  const double low = x.min().item<double>(), high = x.max().item<double>();
  return high > low ? (x - low) / (high - low) : at::zeros_like(x);
}

at::Tensor hard_keep(const at::Tensor& old_worth, const at::Tensor& new_worth, const HardFusion& options) {
  const auto important = [&options](const at::Tensor& worth) { return worth > at::quantile(worth, options.quantile); };
  const at::Tensor to_old = important(old_worth), to_new = important(new_worth);
  at::Tensor keep = at::full_like(old_worth, options.neutral_keep);
  keep.masked_fill_(to_old & ~to_new, 1.0);
  keep.masked_fill_(to_new & ~to_old, 0.0);
  keep.masked_fill_(to_old & to_new, options.shared_keep);
  return keep;
}

at::Tensor soft_keep(const at::Tensor& old_worth, const at::Tensor& new_worth, double temperature) {
  MNEME_CHECK(temperature > 0, "the temperature of a soft fusion is {}; it must be above 0", temperature);
  return at::sigmoid((old_worth - new_worth) / temperature);
}

void fuse(at::Tensor& values, const at::Tensor& old_values, const at::Tensor& keep) {
  at::NoGradGuard off;
  values.copy_(at::lerp(values, old_values, keep));
}

}  // namespace mneme
