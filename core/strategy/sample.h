#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/model/batch.h"
#include "core/model/generate.h"

namespace mneme {

using Tokens = std::vector<std::int32_t>;

/// One training sequence, without padding: [bos] prompt answer eos.
struct Sample {
  Tokens tokens;
  std::int64_t first_label = 1;  ///< index of the first token that is a label
  std::int64_t task = 0;         ///< index from 1 in the stream; 0 for none

  std::int64_t label_count() const { return static_cast<std::int64_t>(tokens.size()) - first_label; }
};

using SamplePtr = std::shared_ptr<const Sample>;
using Dataset = std::vector<SamplePtr>;

/// Samples packed for the model, with what they are of the whole optimiser step. A step may be cut into micro-batches;
/// the shares make a mean over a micro-batch into its part of the mean over the step.
struct Batch {
  Dataset samples;
  model::PackedBatch packed;
  double label_share = 1;     ///< labels here / labels of this part of the step
  double token_share = 1;     ///< tokens here / tokens of this part of the step; a decoder's hidden states
  double prompt_share = 1;    ///< tokens before the first label here / of this part; an encoder's hidden states
  double sequence_share = 1;  ///< sequences here / sequences of this part of the step

  std::int64_t size() const { return static_cast<std::int64_t>(samples.size()); }
};

/// Packs samples; the shares are 1.
Batch make_batch(Dataset samples);

/// The named parts of a step ("current", "replay"), before packing.
using StepParts = std::map<std::string, Dataset>;

/// One micro-batch of a step: each part that has samples, packed.
struct StepBatch {
  std::map<std::string, Batch> parts;
  double step_share = 1;  ///< 1 / micro-batches of the step

  /// The task's own samples. Throws Error if the strategy's compose() left them out.
  const Batch& current() const;
  /// nullptr if this step has no such part.
  const Batch* find(const std::string& part) const;
};

/// Cuts each part into `count` runs, at most as many as it has current samples (else of its largest part), and packs
/// them.
std::vector<StepBatch> split_step(const StepParts& parts, std::int64_t count);

/// Prompts that want an answer, each with its own limits. `task` (index from 1) is there only for strategies that
/// declare kTaskIdAtTest; without it a batch may mix the prompts of several tasks.
struct PromptBatch {
  std::vector<model::GenerateJob> prompts;
  std::optional<std::int64_t> task;

  std::int64_t size() const { return static_cast<std::int64_t>(prompts.size()); }
};

/// The prompts packed as a batch without labels, for passes over them (routers, keys).
Batch make_batch(const PromptBatch& prompts);

}  // namespace mneme
