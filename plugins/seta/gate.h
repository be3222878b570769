#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/plugin.h"

namespace seta {

struct GateOptions {
  std::string kind = "analytic";  ///< analytic, prototype, trained, uniform
  double lambda = 100;            ///< of the ridge regression or the shared covariance
  double gate_weight = 0.1;       ///< trained: weight of the cross-entropy against the task
  double route_weight = 1;        ///< trained: weight of the routing-aware term
};

/// From a prompt's features to a distribution over the tasks learnt so far, one decision for the whole network.
class Gate {
 public:
  virtual ~Gate();

  /// Opens a slot for a task that is about to be learnt. \param trained receives adapters to be trained beside the
  /// task's
  virtual void open(mneme::Learner& /*learner*/, std::int64_t /*task*/, std::vector<mneme::AdapterId>& /*trained*/) {}
  /// Whether loss() has terms.
  virtual bool trains() const { return false; }
  /// Loss terms of a gate that is trained with the task. \param features [B, d] of the micro-batch's prompts
  virtual mneme::Terms loss(mneme::Learner& /*learner*/, const at::Tensor& /*features*/,
                            const mneme::StepBatch& /*step*/) {
    return {};
  }
  /// After the task's training. \param features [N, d] of all its prompts
  virtual void learn(mneme::Learner& learner, std::int64_t task, const at::Tensor& features) = 0;
  /// Logits float64 [P, K], columns by ascending task.
  virtual at::Tensor logits(mneme::Learner& learner, const at::Tensor& features) = 0;

  virtual void visit_state(mneme::StateVisitor& visitor) = 0;
};

std::unique_ptr<Gate> make_gate(const GateOptions& options);

}  // namespace seta
