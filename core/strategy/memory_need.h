#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/model/config.h"
#include "core/model/memory_estimate.h"

namespace mneme {

/// Training samples of one task.
struct TaskLoad {
  double samples = 0, tokens = 0;  ///< tokens of all samples, prompts and answers
};

/// A run as far as its memory depends on it: what is known before a weight is read.
struct MemoryCase {
  const model::TransformerConfig& config;
  /// The largest micro-batch. `trained` is n, the parameters of one adapter of the config group `adapter`, or all of
  /// the model's; `adapted` the linears that it changes; replayed samples count in its rows.
  model::TrainingCase step;
  std::vector<TaskLoad> tasks{};  ///< in stream order

  /// Bytes of so many fp32 vectors [n].
  double vectors(double count) const { return 4 * count * static_cast<double>(step.trained); }
  /// Bytes of so many hidden states [D] in the model's type.
  double states(double count) const {
    const auto width = static_cast<double>(config.hidden_size);
    return count * width * static_cast<double>(c10::elementSize(step.dtype));
  }
};

/// Bytes that a method takes beside what a plain training step with one adapter takes, at the most over the stream.
struct MemoryNeed {
  double kept = 0;  ///< lives through steps: anchors, importances, adapters of other tasks, cached states
  double step = 0;  ///< lives within a step or another pass with gradients, beside its activations
  double rest = 0;  ///< lives between steps, where there are no activations: Fisher diagonals, fusion, solving a router
  std::int64_t first_layer = 0;  ///< no adapter below this layer

  MemoryNeed& operator+=(const MemoryNeed& other) {
    kept += other.kept, step += other.step, rest += other.rest;
    first_layer = std::max(first_layer, other.first_layer);
    return *this;
  }
};

}  // namespace mneme
