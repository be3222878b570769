#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mneme {

/// The config group `train`.
struct TrainOptions {
  std::int64_t epochs = 1;                      ///< passes over a task's samples
  std::vector<std::int64_t> epochs_per_task{};  ///< by position in the stream, else `epochs`; a joint stage: its last's
  std::int64_t batch_size = 16;                 ///< sequences per optimiser step
  std::int64_t accumulation = 1;                ///< micro-batches that a step is cut into; never changes the result
  std::int64_t max_steps = 0;                   ///< optimiser steps per phase at most; 0: no limit
  double learning_rate = 1e-4;
  std::string schedule = "constant";  ///< constant, linear, cosine
  std::int64_t warmup_steps = 0;      ///< steps of linear warm-up at the start of each phase
  double warmup_ratio = 0;            ///< used where warmup_steps is 0: part of the phase's steps
  double weight_decay = 0;            ///< decoupled
  double beta1 = 0.9, beta2 = 0.999;
  double epsilon = 1e-8;
  double clip = 1.0;                         ///< largest 2-norm of the gradient; 0: no clipping
  std::string optimizer_reset = "per_task";  ///< per_task: moments start at zero; never: they are carried over

  /// Sequences of a micro-batch, at most.
  std::int64_t micro_batch() const { return (batch_size + accumulation - 1) / accumulation; }
};

}  // namespace mneme
