#include "core/strategy/importance.h"

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>

#include <cmath>

#include "core/base/error.h"

namespace mneme {

namespace {
/// The averages of one dtype, as arrays.
template <class T>
struct Averages {
  T *sensitivity, *uncertainty;
  T sensitivity_part, uncertainty_part;  ///< what a step adds

  /// \param score of a parameter, from the product of its weight and its gradient
  template <class Score>
  void take(const T* values, const T* gradient, std::int64_t n, const Score& score) const {
    constexpr std::int64_t kGrain = 1 << 16;  // about 50 µs of one core
    at::parallel_for(0, n, kGrain, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) {
        const T s = score(values[i] * gradient[i]);
        sensitivity[i] += sensitivity_part * (s - sensitivity[i]);
        uncertainty[i] += uncertainty_part * (std::abs(s - sensitivity[i]) - uncertainty[i]);
      }
    });
  }
};
}  // namespace

void ImportanceTracker::reset() { sensitivity_ = uncertainty_ = at::Tensor(); }

void ImportanceTracker::update(const at::Tensor& values, const at::Tensor& gradient) {
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
  AT_DISPATCH_FLOATING_TYPES(sensitivity_.scalar_type(), "importance", [&] {
    const Averages<scalar_t> averages{sensitivity_.data_ptr<scalar_t>(), uncertainty_.data_ptr<scalar_t>(),
                                      static_cast<scalar_t>(1 - options_.sensitivity_decay),
                                      static_cast<scalar_t>(1 - options_.uncertainty_decay)};
    const at::Tensor w = values.contiguous(), g = gradient.contiguous();
    const auto take = [&](const auto& score) {
      averages.take(w.const_data_ptr<scalar_t>(), g.const_data_ptr<scalar_t>(), n, score);
    };
    switch (options_.kind) {
      case ImportanceKind::kFirstOrder:
        return take([](scalar_t x) { return std::abs(x); });
      case ImportanceKind::kSecondOrder:
        return take([](scalar_t x) { return std::abs(x - x * x / 2); });
      case ImportanceKind::kSquared:
        return take([](scalar_t x) { return x * x; });
    }
  });
}

at::Tensor ImportanceTracker::importance() const {
  return sensitivity_.defined() ? sensitivity_ * uncertainty_ : at::Tensor();
}

}  // namespace mneme
