#include "gate.h"

#include <algorithm>

namespace seta {

using mneme::Learner;

Gate::~Gate() = default;

namespace {

/// Ridge regression over all tasks' prompts; old slots are those of joint training.
class AnalyticGate final : public Gate {
 public:
  explicit AnalyticGate(double lambda) : router_({.lambda = lambda}, mneme::RandomStream(0, "unused")) {}
  void learn(Learner&, std::int64_t task, const at::Tensor& features) override { router_.learn(task, features); }
  at::Tensor logits(Learner&, const at::Tensor& features) override { return router_.scores(features); }
  void visit_state(mneme::StateVisitor& visitor) override { visitor.object("router", router_); }

 private:
  mneme::AnalyticRouter router_;
};

/// Class means and a shared covariance.
class PrototypeGate final : public Gate {
 public:
  explicit PrototypeGate(double lambda) : router_(lambda) {}
  void learn(Learner&, std::int64_t task, const at::Tensor& features) override { router_.learn(task, features); }
  at::Tensor logits(Learner&, const at::Tensor& features) override { return router_.scores(features); }
  void visit_state(mneme::StateVisitor& visitor) override { visitor.object("router", router_); }

 private:
  mneme::PrototypeRouter router_;
};

/// Every task alike: the control that shows what gating is worth.
class UniformGate final : public Gate {
 public:
  void learn(Learner&, std::int64_t, const at::Tensor&) override { ++tasks_; }
  at::Tensor logits(Learner&, const at::Tensor& features) override {
    return at::zeros({features.size(0), tasks_}, at::kDouble);
  }
  void visit_state(mneme::StateVisitor& visitor) override { visitor.integer("tasks", tasks_); }

 private:
  std::int64_t tasks_ = 0;
};

/// softmax(W z + b), trained with the task's prompts alone and held by the routing-aware term:
///   sum over old slots of Fg[s] ||W[s] - W*[s]||² + KL(old slots under the old gate || under the new one).
class TrainedGate final : public Gate {
 public:
  TrainedGate(double gate_weight, double route_weight) : gate_weight_(gate_weight), route_weight_(route_weight) {}

  void open(Learner& learner, std::int64_t task, std::vector<mneme::AdapterId>& trained) override {
    const std::int64_t width = learner.model().config().hidden_size, slots = consolidated(learner).size(0);
    const mneme::AdapterId old = slot_weights_;
    slot_weights_ = learner.bank().create_free("gate" + std::to_string(task), {slots + 1, width + 1});
    at::Tensor table = weights(learner).detach();
    if (old != 0) {
      table.narrow(0, 0, slots).copy_(consolidated_);
      learner.bank().set_trainable({});
      learner.bank().remove(old);
      table[slots][width] = kClosed;  // the new slot takes no prompts until it has been trained
    }
    trained.push_back(slot_weights_);
  }

  bool trains() const override { return true; }

  mneme::Terms loss(Learner& learner, const at::Tensor& features, const mneme::StepBatch& step) override {
    const mneme::Batch& batch = step.current();
    const at::Tensor table = weights(learner), scores = apply(table, features);
    const std::int64_t old = consolidated(learner).size(0);
    const auto slot = at::full({features.size(0)}, old, at::kLong);
    mneme::Terms terms = {{"gate", at::cross_entropy_loss(scores, slot), gate_weight_, batch.sequence_share}};
    if (old == 0 || route_weight_ == 0) return terms;
    const at::Tensor before = at::log_softmax(apply(consolidated_, features), 1);
    const at::Tensor now = at::log_softmax(scores.narrow(1, 0, old), 1);
    terms.push_back({"route", (before.exp() * (before - now)).sum(1).mean(), route_weight_, batch.sequence_share});
    const at::Tensor moved = (table.narrow(0, 0, old) - consolidated_).square().sum(1);
    terms.push_back(Learner::regulariser("slots", (moved * fisher_).sum(), route_weight_, step));
    return terms;
  }

  void learn(Learner& learner, std::int64_t, const at::Tensor& features) override {
    const at::Tensor table = weights(learner).detach();
    const std::int64_t slots = table.size(0);
    at::Tensor error = at::softmax(apply(table, features), 1);
    error.select(1, slots - 1).sub_(1);
    const at::Tensor squares = error.square() * (features.square().sum(1, /*keepdim=*/true) + 1);
    fisher_ =
        at::constant_pad_nd(fisher_.defined() ? fisher_ : at::zeros({0}, at::kFloat), {0, slots - fisher_size()}) +
        squares.mean(0);
    consolidated_ = table.clone();
  }

  at::Tensor logits(Learner&, const at::Tensor& features) override {
    return apply(consolidated_, features).to(at::kDouble);
  }

  void visit_state(mneme::StateVisitor& visitor) override {
    visitor.integer("weights", slot_weights_);
    visitor.tensor("consolidated", consolidated_);
    visitor.tensor("fisher", fisher_);
  }

 private:
  static constexpr float kClosed = -10;

  static at::Tensor apply(const at::Tensor& table, const at::Tensor& features) {
    const std::int64_t width = features.size(1);
    return features.mm(table.narrow(1, 0, width).t()) + table.select(1, width);
  }
  at::Tensor weights(Learner& learner) const {
    return learner.bank().tensor(slot_weights_, learner.bank().views(slot_weights_).front());
  }
  const at::Tensor& consolidated(Learner& learner) {
    if (!consolidated_.defined()) consolidated_ = at::zeros({0, learner.model().config().hidden_size + 1}, at::kFloat);
    return consolidated_;
  }
  std::int64_t fisher_size() const { return fisher_.defined() ? fisher_.size(0) : 0; }

  double gate_weight_, route_weight_;
  mneme::AdapterId slot_weights_ = 0;
  at::Tensor consolidated_;  // [slots, d + 1] as of the last task's end
  at::Tensor fisher_;        // [slots]
};

}  // namespace

std::unique_ptr<Gate> make_gate(const GateOptions& options) {
  if (options.kind == "analytic") return std::make_unique<AnalyticGate>(options.lambda);
  if (options.kind == "prototype") return std::make_unique<PrototypeGate>(options.lambda);
  if (options.kind == "trained") return std::make_unique<TrainedGate>(options.gate_weight, options.route_weight);
  return std::make_unique<UniformGate>();
}

}  // namespace seta
