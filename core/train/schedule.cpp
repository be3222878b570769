#include "core/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/base/error.h"

namespace mneme {

std::int64_t warmup_steps(const TrainOptions& options, std::int64_t total) {
  if (options.warmup_steps > 0) return options.warmup_steps;
  return static_cast<std::int64_t>(std::ceil(options.warmup_ratio * static_cast<double>(total)));
}

double learning_rate_factor(const TrainOptions& options, std::int64_t step, std::int64_t total) {
  const std::int64_t warmup = warmup_steps(options, total);
  if (step < warmup) return static_cast<double>(step) / static_cast<double>(std::max<std::int64_t>(1, warmup));
  const double progress =
      static_cast<double>(step - warmup) / static_cast<double>(std::max<std::int64_t>(1, total - warmup));
  if (options.schedule == "constant") return 1;
  if (options.schedule == "linear") return std::max(0.0, 1.0 - progress);
  if (options.schedule == "cosine") return std::max(0.0, 0.5 * (1.0 + std::cos(std::numbers::pi * progress)));
  throw Error(fmt::format("schedule '{}' is not known; known: constant, linear, cosine", options.schedule));
}

}  // namespace mneme
