#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/adapter/bank.h"
#include "core/event/event.h"
#include "core/strategy/sample.h"
#include "core/strategy/tensor_cache.h"

namespace mneme {

/// One named part of a loss. The step's loss is the sum over terms and micro-batches of weight · share · value.
struct Term {
  std::string name;
  at::Tensor value;   ///< scalar, nats where it is a cross-entropy: a mean over this micro-batch
  double weight = 1;  ///< the method's coefficient
  double share = 1;   ///< this micro-batch's part of the step's mean; see Batch
  at::Tensor gradient =
      {};  ///< [n], of value by the trained parameters, where it is known in closed form; else autograd
};
using Terms = std::vector<Term>;

/// What hangs on the backbone when the strategy asks for nothing special; the config group `adapter`.
struct AdapterOptions {
  std::string kind = "lora";  ///< lora or full
  LoraOptions lora;
  std::string peft{};  ///< PEFT directory whose settings and values adapters start with instead; "": none
};

struct LearnerOptions {
  std::uint64_t seed = 0;
  AdapterOptions adapter;
  std::int64_t pass_batch = 16;         ///< sequences at once in passes without training
  std::int64_t decode_slots = 32;       ///< sequences decoded at once
  std::filesystem::path cache{};        ///< directory of caches that outlive the run; empty for none
  bool recompute = false;               ///< activations are computed again for the gradient: less memory, more time
  model::GenerateOptions generation{};  ///< how answers are made; `slots` and `progress` are set here
};

/// Work counted over a run.
struct WorkCount {
  double flops = 0;  ///< 2 per parameter and token forward, 2 more backward (frozen weights)
};

/// The services that a strategy may use. Holds the model and the adapter bank; no method's state.
class Learner {
 public:
  Learner(std::shared_ptr<model::Transformer> model, LearnerOptions options, RunSink& sink);
  ~Learner();
  Learner(const Learner&) = delete;
  Learner& operator=(const Learner&) = delete;

  const model::Transformer& model() const { return *model_; }
  AdapterBank& bank() { return bank_; }
  const LearnerOptions& options() const { return options_; }

  /// A new adapter as the config group `adapter` describes it, not yet trained. Its random start depends on the run's
  /// seed and `start` alone: adapters of the same start begin equal, as in separate runs.
  /// \param first_layer a low-rank adapter has nothing below this layer, nor below the config's
  AdapterId create_adapter(const std::string& name, const std::string& start = "default", std::int64_t first_layer = 0);
  /// All trained parameters end to end, [n], differentiable; for penalties.
  at::Tensor parameters() const;
  /// The trained adapters, each with coefficient 1.
  ForwardSpec active() const { return with_adapters(bank_.trainable()); }

  /// Runs the model. In loss() adapter dropout acts (if spec.dropout), elsewhere it never does.
  model::ForwardOutput forward(const ForwardSpec& spec, const Batch& batch);
  /// Mean cross-entropy over the batch's labels, nats, as a term of the step.
  Term cross_entropy(const ForwardSpec& spec, const Batch& batch, std::string name = "ce");
  /// A term that is a mean over the batch's tokens or sequences.
  static Term token_mean(std::string name, at::Tensor value, double weight, const Batch& batch) {
    return {std::move(name), std::move(value), weight, batch.token_share};
  }
  /// A term of the parameters alone: it enters the step exactly once, however many micro-batches there are.
  static Term regulariser(std::string name, at::Tensor value, double weight, const StepBatch& step) {
    return {std::move(name), std::move(value), weight, step.step_share};
  }

  /// Gradient [n] of the mean cross-entropy on a batch; neither the training gradient nor the optimiser sees it.
  at::Tensor gradient_on(const ForwardSpec& spec, const Batch& batch);
  /// Mean over at most `limit` samples (0: all) of the squared gradient of each sample's mean cross-entropy, [n]:
  /// the empirical Fisher diagonal, from single samples, never from squared batch means.
  at::Tensor fisher_diagonal(const ForwardSpec& spec, const Dataset& data, std::int64_t limit);
  /// Calls f with batches of the data in order. Gradients are off.
  void pass_over(const Dataset& data, const std::function<void(const Batch&)>& f);
  /// Mean cross-entropy per label over a data set, nats.
  double mean_loss(const ForwardSpec& spec, const Dataset& data);
  /// Greedy answers; gates of the spec are per prompt. A prompt that was answered under equal adapters before is not
  /// answered again, whatever other prompts stand beside it; an adapter whose gate is closed does not count.
  std::vector<Tokens> generate(const ForwardSpec& spec, const PromptBatch& prompts);
  /// Log-probability (nats) of each candidate answer of each prompt: [prompts][candidates].
  std::vector<std::vector<double>> score(const ForwardSpec& spec, const PromptBatch& prompts,
                                         std::span<const std::vector<Tokens>> candidates);

  /// What `compute` returns, computed once per run and kept in the cache directory for other runs. It must follow from
  /// the frozen model and from what `key` names (kind, settings, digests of inputs) alone; it must not be written to.
  at::Tensor cached(const std::string& key, const std::function<at::Tensor()>& compute);

  /// Saves the trainable parameters and puts them back when it goes out of scope.
  class Scratch {
   public:
    explicit Scratch(AdapterBank& bank);
    ~Scratch();
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

   private:
    AdapterBank& bank_;
    at::Tensor saved_;
  };
  Scratch scratch() { return Scratch(bank_); }

  /// A random stream of this run for one purpose; the same name gives the same numbers.
  RandomStream random(const std::string& name) const { return RandomStream(options_.seed, "strategy/" + name); }
  /// Records a scalar beside the loss terms of the current step.
  void report(const std::string& name, double value);
  /// Records an array under /analysis/<name>.
  void report_array(const std::string& name, const at::Tensor& values);

  std::int64_t step() const { return step_; }  ///< optimiser steps done in this run
  const WorkCount& work() const { return work_; }

 private:
  friend class Trainer;
  std::shared_ptr<model::Transformer> model_;
  LearnerOptions options_;
  RunSink& sink_;
  AdapterBank bank_;
  WorkCount work_;
  std::int64_t step_ = 0;
  RandomStream* dropout_ = nullptr;  // set by the trainer around loss()
  std::map<std::string, Tokens> answered_;
  TensorCache cache_;
  std::string model_digest_;  // made when first asked for
};

}  // namespace mneme
