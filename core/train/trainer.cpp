#include "core/train/trainer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "core/train/schedule.h"

namespace mneme {

Diverged::~Diverged() = default;

namespace {
using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// Adds the time until it goes out of scope.
class Stopwatch {
 public:
  explicit Stopwatch(double& seconds) : seconds_(seconds) {}
  ~Stopwatch() { seconds_ += seconds_since(start_); }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  double& seconds_;
  Clock::time_point start_ = Clock::now();
};
}  // namespace

/// A phase with everything resolved that the strategy may have left open.
struct Trainer::PhasePlan {
  const Phase& phase;
  std::int64_t index;  // from 1
  std::int64_t epochs;
  std::int64_t steps_per_epoch;
  std::int64_t total;
  double learning_rate;
  std::vector<OptimizerSegment> segments;
};

Trainer::Trainer(Learner& learner, Strategy& strategy, TrainOptions options, RunSink& sink)
    : learner_(learner), strategy_(strategy), options_(std::move(options)), sink_(sink), optimizer_(options_) {}

std::int64_t Trainer::epochs_of(std::int64_t task) const {
  const auto position = static_cast<std::size_t>(task - 1);
  return position < options_.epochs_per_task.size() ? options_.epochs_per_task[position] : options_.epochs;
}

std::int64_t Trainer::expected_steps(std::int64_t samples, std::int64_t task) const {
  const std::int64_t steps = (samples + options_.batch_size - 1) / options_.batch_size * epochs_of(task);
  return options_.max_steps > 0 ? std::min(steps, options_.max_steps) : steps;
}

TrainCost Trainer::train(const TaskView& task, const std::function<void(const TrainProgress&)>& progress) {
  TrainCost cost;
  Stopwatch whole(cost.train_seconds);
  std::vector<Phase> phases;
  {
    Stopwatch own(cost.strategy_seconds);
    strategy_.before_task(learner_, task);
    phases = strategy_.phases(learner_, task);
  }
  // Moments belong to their parameters: those of another adapter are never carried over.
  if (options_.optimizer_reset == "per_task" || optimised_ != learner_.bank().trainable()) {
    optimizer_.reset(learner_.bank().values().numel());
    optimised_ = learner_.bank().trainable();
  }
  for (std::size_t i = 0; i < phases.size(); ++i) {
    const Phase& phase = phases[i];
    PhasePlan plan{phase,
                   static_cast<std::int64_t>(i) + 1,
                   phase.epochs.value_or(epochs_of(task.task())),
                   0,
                   0,
                   phase.learning_rate.value_or(options_.learning_rate),
                   segments(phase)};
    plan.steps_per_epoch =
        (static_cast<std::int64_t>(phase.data.size()) + options_.batch_size - 1) / options_.batch_size;
    plan.total = plan.steps_per_epoch * plan.epochs;
    if (options_.max_steps > 0) plan.total = std::min(plan.total, options_.max_steps);
    {
      Stopwatch own(cost.strategy_seconds);
      strategy_.before_phase(learner_, task, plan.index);
    }
    run_rehearsal();
    train_phase(task, plan, cost, progress);
  }
  // The last update shows in no loss any more.
  if (!learner_.bank().values().isfinite().all().item<bool>())
    throw Diverged(fmt::format("parameters are not finite after step {}; lower train.learning_rate", learner_.step_));
  Stopwatch own(cost.strategy_seconds);
  strategy_.after_task(learner_, task);
  return cost;
}

void Trainer::run_rehearsal() {
  if (rehearsal_.empty()) return;
  const WorkCount work = learner_.work_;
  ForwardSpec spec = learner_.active();
  // Free parameters (gates, keys, soft prompts) are no part of a pass by themselves.
  std::erase_if(spec.adapters, [this](const AdapterUse& use) {
    const auto views = learner_.bank().views(use.adapter);
    return !views.empty() && views.front().role == ParameterRole::kFree;
  });
  // In passes as steps have them: a micro-batch, and perhaps another of replayed samples.
  const Dataset all = std::exchange(rehearsal_, {});
  const auto most = static_cast<std::size_t>(options_.micro_batch());
  at::Tensor loss = at::zeros({}, at::kFloat);
  for (std::size_t i = 0; i < all.size(); i += most) {
    const auto first = all.begin() + static_cast<std::ptrdiff_t>(i),
               last = all.begin() + static_cast<std::ptrdiff_t>(std::min(all.size(), i + most));
    loss = loss + learner_.cross_entropy(spec, make_batch(Dataset(first, last))).value;
  }
  if (loss.requires_grad()) loss.backward();
  learner_.bank().gradient().zero_();
  learner_.work_ = work;
}

std::vector<OptimizerSegment> Trainer::segments(const Phase& phase) const {
  std::vector<OptimizerSegment> all;
  for (const ParameterView& view : learner_.bank().views()) {
    OptimizerSegment segment{view.offset, view.size(), 1.0, options_.weight_decay};
    for (const ParameterGroup& group : phase.groups) {
      if (group.adapter != view.adapter || (group.role && *group.role != view.role)) continue;
      segment.learning_rate_scale = group.learning_rate_scale;
      segment.weight_decay = group.weight_decay.value_or(options_.weight_decay);
    }
    const bool joins = !all.empty() && all.back().learning_rate_scale == segment.learning_rate_scale &&
                       all.back().weight_decay == segment.weight_decay;
    if (joins)
      all.back().size += segment.size;
    else
      all.push_back(segment);
  }
  return all;
}

void Trainer::train_phase(const TaskView& task, const PhasePlan& plan, TrainCost& cost,
                          const std::function<void(const TrainProgress&)>& progress) {
  std::int64_t done = 0;
  for (std::int64_t epoch = 1; epoch <= plan.epochs && done < plan.total; ++epoch) {
    RandomStream order(learner_.options().seed, fmt::format("order/{}/{}/{}", task.stage, plan.index, epoch));
    const auto permutation = order.permutation(static_cast<std::int64_t>(plan.phase.data.size()));
    for (std::int64_t i = 0; i < plan.steps_per_epoch && done < plan.total; ++i, ++done) {
      const auto start = Clock::now();
      const std::int64_t tokens_before = cost.tokens;
      Dataset samples;
      const std::int64_t end =
          std::min<std::int64_t>((i + 1) * options_.batch_size, static_cast<std::int64_t>(permutation.size()));
      for (std::int64_t k = i * options_.batch_size; k < end; ++k)
        samples.push_back(plan.phase.data[static_cast<std::size_t>(permutation[static_cast<std::size_t>(k)])]);
      StepParts parts;
      {
        Stopwatch own(cost.strategy_seconds);
        parts = strategy_.compose(learner_, std::move(samples));
      }
      const double lr = plan.learning_rate * learning_rate_factor(options_, done, plan.total);
      const double loss = train_step(parts, plan, lr, cost);
      sink_.step({task.task(), plan.index, epoch, learner_.step(), lr, loss, cost.tokens - tokens_before,
                  seconds_since(start)});
      progress({done + 1, plan.total, loss});
      Stopwatch own(cost.strategy_seconds);
      strategy_.after_step(learner_);
    }
    Stopwatch own(cost.strategy_seconds);
    if (strategy_.after_epoch(learner_, task, epoch)) return;
  }
}

double Trainer::train_step(const StepParts& parts, const PhasePlan& plan, double learning_rate, TrainCost& cost) {
  at::Tensor values = learner_.bank().values(), gradient = learner_.bank().gradient();
  gradient.zero_();
  ++learner_.step_;
  RandomStream dropout(learner_.options().seed, fmt::format("dropout/{}", learner_.step_));
  double loss = 0;
  std::map<std::string, double> reported;
  for (const StepBatch& micro : split_step(parts, options_.accumulation)) {
    for (const auto& [name, batch] : micro.parts) cost.tokens += batch.packed.tokens();
    learner_.dropout_ = &dropout;
    const Terms terms = strategy_.loss(learner_, micro);
    learner_.dropout_ = nullptr;
    at::Tensor total;
    for (const Term& term : terms) {
      const double value = term.value.item<double>() * term.share;
      reported[term.name] += value;
      loss += term.weight * value;
      if (term.gradient.defined()) gradient.add_(term.gradient, term.weight * term.share);
      if (!term.value.requires_grad() || term.weight * term.share == 0) continue;
      const at::Tensor part = term.value * (term.weight * term.share);
      total = total.defined() ? total + part : part;
    }
    if (total.defined()) total.backward();
  }
  for (const auto& [name, value] : reported) sink_.term({learner_.step_, name, value});
  if (!std::isfinite(loss))
    throw Diverged(fmt::format("the loss is {} at step {}; lower train.learning_rate or look at the terms of the loss",
                               loss, learner_.step_));
  {
    Stopwatch own(cost.strategy_seconds);
    strategy_.before_step(learner_, gradient);
  }
  const double norm = clip_gradient(gradient, options_.clip);
  if (!std::isfinite(norm))
    throw Diverged(
        fmt::format("the gradient's norm is {} at step {}; lower train.learning_rate", norm, learner_.step_));
  {
    Stopwatch own(cost.strategy_seconds);
    strategy_.before_update(learner_, gradient);
  }
  optimizer_.step(values, gradient, learning_rate, plan.segments);
  return loss;
}

void Trainer::visit_state(StateVisitor& visitor) {
  visitor.object("optimizer", optimizer_);
  visitor.integers("optimised", optimised_);
  visitor.integer("step", learner_.step_);
}

}  // namespace mneme
