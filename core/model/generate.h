#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/model/transformer.h"

namespace mneme::model {

/// Drawing the next token instead of taking the likeliest one.
struct Sampling {
  double temperature = 1;           ///< logits are divided by it; > 0
  std::int64_t top_k = 0;           ///< only the k likeliest tokens; 0: all
  double top_p = 1;                 ///< only the likeliest tokens that together have this probability
  std::uint64_t seed = 0;           ///< of the random streams, one per prompt
  std::string stream = "generate";  ///< their name, before "/<prompt>"
};

/// Several continuations at once, the best of which is the answer. As in transformers.
struct BeamOptions {
  std::int64_t beams = 1;       ///< 1: no beam search
  double length_penalty = 1;    ///< scores are divided by length^this
  bool early_stopping = false;  ///< stop as soon as there are as many finished answers as beams
};

/// Settings of generate(); greedy decoding unless one of them says otherwise.
struct GenerateOptions {
  std::int64_t slots = 32;  ///< sequences decoded at once; a finished one is replaced from the queue
  std::function<void(std::int64_t done)> progress{};  ///< called as prompts finish
  BlockBackend backend = BlockBackend::kFused;
  double repetition_penalty = 1;  ///< of tokens that the decoder has read; > 1 makes them less likely
  std::optional<Sampling> sampling{};
  BeamOptions beam{};  ///< not together with sampling
  /// Whether an answer ends here, for texts that stop it; called with every new token.
  std::function<bool(std::size_t job, std::span<const std::int32_t> answer)> stop_when{};
};

/// One prompt and its own limits.
struct GenerateJob {
  std::vector<std::int32_t> prompt{};  ///< with bos if the model wants one; not empty
  std::int64_t max_new_tokens = 0;
  std::vector<std::int32_t> stop{};  ///< ids that end the answer, mostly just eos
};

/// Continuation of each prompt with a key-value cache. The result of a prompt does not depend on the others.
/// \param adapters gates are [jobs]; they are split over the slots here.
/// \return new ids per job, the stop id included when it was produced.
std::vector<std::vector<std::int32_t>> generate(const Transformer& model, const ActiveAdapters& adapters,
                                                std::span<const GenerateJob> jobs, const GenerateOptions& options);

/// Sum of log-probabilities (nats) of each candidate continuation after the prompt: [jobs][candidates].
/// The prompt is computed once; candidates branch from its cache.
std::vector<std::vector<double>> score_continuations(const Transformer& model, const ActiveAdapters& adapters,
                                                     std::span<const std::vector<std::int32_t>> prompts,
                                                     std::span<const std::vector<std::vector<std::int32_t>>> candidates,
                                                     const GenerateOptions& options);

}  // namespace mneme::model
