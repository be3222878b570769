#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "core/adapter/state.h"
#include "core/strategy/learner.h"

namespace mneme {

/// Follows how well prompts are told apart, on features of prompts that the router was not fitted to.
class RoutingCheck {
 public:
  /// Adds a task's prompts. \param features [N, D] of its held-out prompts
  void add(std::int64_t task, at::Tensor features) { held_out_[task] = std::move(features); }

  /// Routes the prompts of all K tasks added so far. Records the array router/confusion/<K> [K, K] (row: the prompts'
  /// task, column: the task chosen, both ascending; counts) and the scalar router/accuracy.
  /// \param route task chosen for each of [N, D] features
  void report(Learner& learner, const std::function<std::vector<std::int64_t>(const at::Tensor&)>& route) const;

  void visit_state(StateVisitor& visitor);

 private:
  std::map<std::int64_t, at::Tensor> held_out_;
};

}  // namespace mneme
