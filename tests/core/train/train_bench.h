#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "core/train/trainer.h"
#include "tests/support/toy.h"

namespace mneme::test {

/// Samples whose prompts and answers have all lengths.
inline Dataset uneven_samples(std::int64_t count, std::uint64_t seed = 3) {
  Dataset all;
  RandomStream rng(seed, "uneven");
  for (std::int64_t i = 0; i < count; ++i) {
    Sample sample;
    sample.first_label = 1 + static_cast<std::int64_t>(rng.below(6));
    const std::int64_t length = sample.first_label + 1 + static_cast<std::int64_t>(rng.below(9));
    for (std::int64_t k = 0; k < length; ++k) sample.tokens.push_back(static_cast<std::int32_t>(rng.below(24)));
    all.push_back(std::make_shared<const Sample>(std::move(sample)));
  }
  return all;
}

/// The stage of this number, of one task of the same number if no other ones are given.
inline TaskView task_of(Dataset train, std::int64_t stage = 1, std::vector<std::int64_t> tasks = {}) {
  return {stage, tasks.empty() ? std::vector{stage} : tasks, "task", std::move(train), {}};
}

/// A learner and its trainer on the toy model, with the default adapter.
struct Bench {
  Bench(Strategy& strategy, const TrainOptions& options, std::uint64_t seed = 5, double dropout = 0)
      : learner(toy_model(), learner_options(seed, dropout), sink), trainer(learner, strategy, options, sink) {
    strategy.attach(learner);
  }
  TrainCost train(const TaskView& task) {
    return trainer.train(task, [](const TrainProgress&) {});
  }
  static LearnerOptions learner_options(std::uint64_t seed, double dropout) {
    ToyOptions toy;
    toy.adapter.lora.dropout = dropout;
    return {seed, toy.adapter, 4, 4};
  }

  VectorSink sink;
  Learner learner;
  Trainer trainer;
};

/// Plain fine-tuning that writes down each step as the optimiser saw it.
class Recording : public Strategy {
 public:
  void before_step(Learner&, at::Tensor& gradient) override { unclipped.push_back(gradient.clone()); }
  void before_update(Learner& learner, const at::Tensor& gradient) override {
    clipped.push_back(gradient.clone());
    before.push_back(learner.bank().values().clone());
  }
  void after_step(Learner& learner) override { after.push_back(learner.bank().values().clone()); }

  std::vector<at::Tensor> unclipped, clipped, before, after;
};

/// Largest |a - b| over the largest |b|.
inline double relative_gap(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>() / b.abs().max().item<double>();
}

}  // namespace mneme::test
