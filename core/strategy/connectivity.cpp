#include "core/strategy/connectivity.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "core/base/error.h"

namespace mneme {

namespace {
constexpr std::size_t kBendBatch = 8;  // samples of a step that bends the curve

ReplayBuffer sample_of(const Dataset& data, std::int64_t count, const RandomStream& random) {
  ReplayBuffer chosen(count, random);
  for (const auto& sample : data) chosen.insert(sample);
  return chosen;
}

/// The quadratic Bézier curve from `from` to `to` with the middle control point `bend`.
at::Tensor on_curve(const at::Tensor& from, const at::Tensor& bend, const at::Tensor& to, double x) {
  return (1 - x) * (1 - x) * from + 2 * x * (1 - x) * bend + x * x * to;
}
}  // namespace

ConnectivityProbe::Point ConnectivityProbe::evaluate(Learner& learner, const Dataset& data) const {
  ForwardSpec spec = learner.active();
  spec.want_logits = true;
  double loss = 0, labels = 0, right = 0, answered = 0;
  learner.pass_over(data, [&](const Batch& batch) {
    const auto output = learner.forward(spec, batch);
    loss += output.losses.to(at::kDouble).sum().item<double>();
    labels += static_cast<double>(batch.packed.label_count());
    // Greedy decoding gives the label text exactly if every label is the likeliest token after those before it.
    const at::Tensor hits = output.logits.argmax(1) == batch.packed.labels;
    for (std::size_t i = 0; i + 1 < batch.packed.label_offsets.size(); ++i) {
      const std::int64_t start = batch.packed.label_offsets[i], size = batch.packed.label_offsets[i + 1] - start;
      if (size == 0) continue;
      right += hits.narrow(0, start, size).all().item<bool>() ? 1 : 0;
      ++answered;
    }
  });
  return {loss / std::max(labels, 1.0), right / std::max(answered, 1.0)};
}

void ConnectivityProbe::record(Learner& learner, const std::string& path, std::int64_t stage,
                               const std::vector<at::Tensor>& points) const {
  const auto tasks = static_cast<std::int64_t>(held_out_.size());
  at::Tensor losses = at::empty({static_cast<std::int64_t>(points.size()), tasks}, at::kDouble);
  at::Tensor accuracies = at::empty_like(losses);
  for (std::size_t i = 0; i < points.size(); ++i) {
    learner.bank().values().copy_(points[i]);
    for (std::int64_t task = 0; task < tasks; ++task) {
      const Point point = evaluate(learner, held_out_[static_cast<std::size_t>(task)].samples());
      losses[static_cast<std::int64_t>(i)][task] = point.loss;
      accuracies[static_cast<std::int64_t>(i)][task] = point.accuracy;
    }
  }
  learner.report_array(fmt::format("connectivity/{}/loss/{}", path, stage), losses);
  learner.report_array(fmt::format("connectivity/{}/accuracy/{}", path, stage), accuracies);
}

at::Tensor ConnectivityProbe::bend(Learner& learner, const at::Tensor& from, const at::Tensor& to,
                                   const Dataset& data) {
  at::Tensor bend = (from + to) / 2, first = at::zeros_like(bend), second = at::zeros_like(bend);
  for (std::int64_t step = 1; step <= options_.bend_steps; ++step) {
    const double x = random_.uniform();
    learner.bank().values().copy_(on_curve(from, bend, to, x));
    Dataset batch;
    for (const std::int64_t i : random_.sample(static_cast<std::int64_t>(data.size()),
                                               static_cast<std::int64_t>(std::min(data.size(), kBendBatch))))
      batch.push_back(data[static_cast<std::size_t>(i)]);
    // Adam on the middle point; the chain rule gives its gradient from that of the point on the curve.
    at::Tensor gradient = 2 * x * (1 - x) * learner.gradient_on(learner.active(), make_batch(std::move(batch)));
    at::_fused_adamw_({bend}, {gradient}, {first}, {second}, {}, {at::full({}, static_cast<float>(step))},
                      options_.bend_learning_rate, 0.9, 0.999, 0.0, 1e-8, /*amsgrad=*/false, /*maximize=*/false);
  }
  return bend;
}

void ConnectivityProbe::after_task(Learner& learner, const TaskView& task) {
  at::NoGradGuard off;
  MNEME_CHECK(options_.points >= 2, "a path of {} positions has no ends; expected at least 2", options_.points);
  const auto scratch = learner.scratch();
  const at::Tensor minimum = learner.bank().values().clone();
  held_out_.push_back(sample_of(task.eval.empty() ? task.train : task.eval, options_.samples, random_));
  ReplayBuffer training = sample_of(task.train, options_.samples, random_);
  if (last_minimum_.defined()) {
    const at::Tensor from = last_minimum_;
    std::vector<at::Tensor> line, curve;
    Dataset data = last_training_.samples();
    data.insert(data.end(), training.samples().begin(), training.samples().end());
    const bool has_curve = options_.bend_steps > 0 && !data.empty();
    const at::Tensor middle = has_curve ? bend(learner, from, minimum, data) : at::Tensor();
    for (std::int64_t i = 0; i < options_.points; ++i) {
      const double x = static_cast<double>(i) / static_cast<double>(options_.points - 1);
      line.push_back(at::lerp(from, minimum, x));
      if (has_curve) curve.push_back(on_curve(from, middle, minimum, x));
    }
    record(learner, "line", task.stage, line);
    if (has_curve) record(learner, "curve", task.stage, curve);
  }
  last_minimum_ = minimum;
  last_training_ = std::move(training);
}

void ConnectivityProbe::visit_state(StateVisitor& visitor) {
  visitor.tensor("minimum", last_minimum_);
  visitor.random("random", random_);
  visitor.object("training", last_training_);
  auto stages = static_cast<std::int64_t>(held_out_.size());
  visitor.integer("stages", stages);
  if (visitor.loading()) held_out_.assign(static_cast<std::size_t>(stages), {options_.samples, random_});
  for (std::int64_t i = 0; i < stages; ++i)
    visitor.object("held_out/" + std::to_string(i), held_out_[static_cast<std::size_t>(i)]);
}

}  // namespace mneme
