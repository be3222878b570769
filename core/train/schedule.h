#pragma once

#include <cstdint>

#include "core/train/options.h"

namespace mneme {

/// Steps of warm-up of a phase of `total` steps: warmup_steps if set, else ceil(warmup_ratio · total).
std::int64_t warmup_steps(const TrainOptions& options, std::int64_t total);

/// Factor on the learning rate at optimiser step `step` (from 0) of `total`. Linear warm-up step / warmup, then
/// constant, linear to 0, or half a cosine to 0; the same numbers as Hugging Face's get_scheduler.
double learning_rate_factor(const TrainOptions& options, std::int64_t step, std::int64_t total);

}  // namespace mneme
