#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "core/strategy/learner.h"
#include "core/strategy/memory_need.h"

namespace mneme {

/// The lower layers that a method leaves alone: an eighth of the model's or of its encoder's (4 of 32, 1 of 4, 0 of 2).
std::int64_t default_shared_layers(const model::TransformerConfig& config);

/// What the bare model's layers below `layer` (of an encoder-decoder: of the encoder) make of each prompt: the mean
/// over its tokens of the hidden states that enter `layer`, each scaled to a root mean square of one. float [P, D].
/// Since no adapter takes part, a prompt's features never change during a run; they are computed once and kept for
/// other runs (Learner::cached).
at::Tensor prompt_features(Learner& learner, const PromptBatch& prompts, std::int64_t layer);

/// The prompts of training samples.
PromptBatch prompts_of(const Dataset& samples);

/// Hidden states of training samples as they enter a layer below which nothing is trained: computed once, then every
/// forward pass over the samples resumes from them.
class SharedStates {
 public:
  /// \param layer the layer that the states enter; 0: there is nothing to share
  /// \param budget bytes of states that are held at most; of samples beyond it they are computed when they are needed
  SharedStates(std::int64_t layer, std::int64_t budget) : layer_(layer), budget_(budget) {}

  /// Forgets what was held and passes over the samples, in order. \return their prompt_features(), from the same pass.
  at::Tensor hold(Learner& learner, const Dataset& samples);
  void clear() { held_.clear(); }

  /// The spec with its lower layers replaced by the states of the batch.
  ForwardSpec resumed(Learner& learner, ForwardSpec spec, const Batch& batch) const;

  /// The most that states of these settings take in a run.
  static MemoryNeed memory(const MemoryCase& run, std::int64_t layer, std::int64_t budget);

 private:
  std::int64_t layer_, budget_;
  std::map<const Sample*, at::Tensor> held_;  // [tokens fed, D]
};

}  // namespace mneme
