#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/strategy/replay_buffer.h"
#include "core/strategy/strategy.h"

namespace mneme {

struct ConnectivityOptions {
  std::int64_t points = 11;      ///< positions 0, 1 / (points - 1), …, 1 on each path
  std::int64_t samples = 32;     ///< held-out samples of each task that a position is evaluated on
  std::int64_t bend_steps = 40;  ///< steps that bend the curve; 0: no curve
  double bend_learning_rate = 1e-3;
};

/// Mode connectivity: how loss and accuracy change on the way from the minimum of one task to that of the next. The
/// ways are the line between the two and a quadratic Bézier curve between them whose middle point is trained for a low
/// loss on both tasks' samples, all in the space of the trained parameters. Source: Garipov et al. 2018, "Loss
/// surfaces, mode connectivity, and fast ensembling of DNNs", section 3. It only looks: parameters, gradients and the
/// strategy's random numbers are as before. It stores samples of every task.
class ConnectivityProbe {
 public:
  ConnectivityProbe(ConnectivityOptions options, RandomStream random) : options_(options), random_(random) {}

  /// The trained parameters are this task's minimum. From the second stage t on, records for each path ("line",
  /// "curve") the arrays connectivity/<path>/{loss,accuracy}/<t>, [points, t]: mean cross-entropy in nats, and the part
  /// of samples whose greedy answer is the label, on held-out samples of each task so far.
  void after_task(Learner& learner, const TaskView& task);

  void visit_state(StateVisitor& visitor);

 private:
  struct Point {
    double loss = 0, accuracy = 0;
  };
  Point evaluate(Learner& learner, const Dataset& data) const;
  void record(Learner& learner, const std::string& path, std::int64_t stage,
              const std::vector<at::Tensor>& points) const;
  at::Tensor bend(Learner& learner, const at::Tensor& from, const at::Tensor& to, const Dataset& data);

  ConnectivityOptions options_;
  RandomStream random_;
  at::Tensor last_minimum_;             // [n]; undefined before the first task has ended
  std::vector<ReplayBuffer> held_out_;  // by stage
  ReplayBuffer last_training_{0, RandomStream(0, "connectivity")};
};

}  // namespace mneme
