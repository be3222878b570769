#include "core/strategy/importance.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "core/base/error.h"

namespace mneme {

namespace {
/// Elements that are taken through all operations before the next ones: they stay in the cache meanwhile.
constexpr std::int64_t kBlock = 1 << 14;

at::Tensor step_score(ImportanceKind kind, const at::Tensor& values, const at::Tensor& gradient) {
  at::Tensor score = values * gradient;
  switch (kind) {
    case ImportanceKind::kFirstOrder:
      return score.abs_();
    case ImportanceKind::kSecondOrder:
      return at::addcmul(score, score, score, -0.5).abs_();
    case ImportanceKind::kSquared:
      return score.square_();
  }
  return score;
}
}  // namespace

void ImportanceTracker::reset() { sensitivity_ = uncertainty_ = at::Tensor(); }

void ImportanceTracker::update(const at::Tensor& values, const at::Tensor& gradient) {
  at::NoGradGuard off;
  if (!sensitivity_.defined()) {
    sensitivity_ = at::zeros_like(values);
    uncertainty_ = at::zeros_like(values);
  }
  const std::int64_t n = sensitivity_.numel();
  MNEME_CHECK(
      values.numel() == n && gradient.numel() == n,
      "importances of {} parameters were updated with {} values and {} gradients; reset() them when the trained "
      "parameters change",
      n, values.numel(), gradient.numel());
  for (std::int64_t start = 0; start < n; start += kBlock) {
    const std::int64_t size = std::min(kBlock, n - start);
    at::Tensor sensitivity = sensitivity_.narrow(0, start, size), uncertainty = uncertainty_.narrow(0, start, size);
    at::Tensor score = step_score(options_.kind, values.narrow(0, start, size), gradient.narrow(0, start, size));
    sensitivity.lerp_(score, 1 - options_.sensitivity_decay);
    uncertainty.lerp_(score.sub_(sensitivity).abs_(), 1 - options_.uncertainty_decay);
  }
}

at::Tensor ImportanceTracker::importance() const {
  return sensitivity_.defined() ? sensitivity_ * uncertainty_ : at::Tensor();
}

}  // namespace mneme
