#pragma once

#include "core/adapter/state.h"
#include "core/base/random.h"
#include "core/strategy/sample.h"

namespace mneme {

/// Reservoir of whole samples: after n insertions each of them is held with probability min(1, capacity / n).
/// Source: Vitter 1985, algorithm R.
class ReplayBuffer {
 public:
  ReplayBuffer(std::int64_t capacity, RandomStream random);

  void insert(const SamplePtr& sample);
  /// Up to `count` distinct samples, uniform without replacement.
  Dataset draw(std::int64_t count);

  std::int64_t size() const { return static_cast<std::int64_t>(samples_.size()); }
  const Dataset& samples() const { return samples_; }
  void visit_state(StateVisitor& visitor);

 private:
  std::int64_t capacity_;
  std::int64_t seen_ = 0;
  RandomStream random_;
  Dataset samples_;
};

}  // namespace mneme
