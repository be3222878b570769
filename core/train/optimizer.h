#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/adapter/state.h"
#include "core/train/options.h"

namespace mneme {

/// A run of the flat parameter vector with its own settings.
struct OptimizerSegment {
  std::int64_t offset = 0, size = 0;
  double learning_rate_scale = 1;
  double weight_decay = 0;
};

/// AdamW on a flat fp32 vector, moments fp32.
/// Source: Loshchilov and Hutter 2019, algorithm 2; the same update as torch.optim.AdamW.
class AdamW {
 public:
  explicit AdamW(const TrainOptions& options) : options_(options) {}

  /// Starts anew for a vector of this size: moments and step count at zero.
  void reset(std::int64_t size);
  std::int64_t size() const { return first_moment_.defined() ? first_moment_.numel() : 0; }

  /// One step. Segments with scale 0 keep their values exactly.
  void step(at::Tensor& values, at::Tensor& gradient, double learning_rate,
            const std::vector<OptimizerSegment>& segments);

  void visit_state(StateVisitor& visitor);

 private:
  TrainOptions options_;
  at::Tensor first_moment_, second_moment_;
  std::int64_t steps_ = 0;
};

/// Scales the gradient in place so that its 2-norm is at most `limit` (0: never). \return the norm before.
double clip_gradient(at::Tensor& gradient, double limit);

}  // namespace mneme
