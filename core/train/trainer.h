#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "core/base/error.h"
#include "core/event/event.h"
#include "core/strategy/strategy.h"
#include "core/train/optimizer.h"
#include "core/train/options.h"

namespace mneme {

/// The loss or gradient is not finite: a result, not a fault of the program. The run is recorded as diverged.
class Diverged : public Error {
 public:
  using Error::Error;
  ~Diverged() override;
};

/// Where training stands, for progress displays.
struct TrainProgress {
  std::int64_t steps_done = 0;   ///< of this stage
  std::int64_t steps_total = 0;  ///< of this stage's phase so far known
  double loss = 0;
};

/// What a stage's training cost.
struct TrainCost {
  double train_seconds = 0;     ///< the whole stage, strategy calls included
  double strategy_seconds = 0;  ///< of it, in the strategy's calls other than loss()
  std::int64_t tokens = 0;
};

/// The one training loop. The strategy never edits it; it answers calls.
class Trainer {
 public:
  Trainer(Learner& learner, Strategy& strategy, TrainOptions options, RunSink& sink);

  /// Has the samples go forward and backward once before the first step, without any effect: what does not fit into
  /// memory shall show at once, not hours later.
  void rehearse(Dataset samples) { rehearsal_ = std::move(samples); }

  /// Trains one stage: before_task, all phases, after_task. Throws Diverged.
  TrainCost train(const TaskView& task, const std::function<void(const TrainProgress&)>& progress);

  /// Optimiser steps that a stage of `samples` samples at this position of the stream will take, if it has one phase.
  std::int64_t expected_steps(std::int64_t samples, std::int64_t task) const;

  void visit_state(StateVisitor& visitor);

 private:
  struct PhasePlan;
  void train_phase(const TaskView& task, const PhasePlan& plan, TrainCost& cost,
                   const std::function<void(const TrainProgress&)>& progress);
  double train_step(const StepParts& parts, const PhasePlan& plan, double learning_rate, TrainCost& cost);
  std::vector<OptimizerSegment> segments(const Phase& phase) const;
  std::int64_t epochs_of(std::int64_t task) const;
  void run_rehearsal();

  Learner& learner_;
  Strategy& strategy_;
  TrainOptions options_;
  RunSink& sink_;
  AdamW optimizer_;
  std::vector<AdapterId> optimised_;  ///< whose moments it holds
  Dataset rehearsal_;                 ///< empty once it is done
};

}  // namespace mneme
