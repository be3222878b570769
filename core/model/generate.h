#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/model/transformer.h"

namespace mneme::model {

/// Settings of generate(); greedy decoding.
struct GenerateOptions {
  std::int64_t slots = 32;  ///< sequences decoded at once; a finished one is replaced from the queue
  std::function<void(std::int64_t done)> progress{};  ///< called as prompts finish
  BlockBackend backend = BlockBackend::kFused;
};

/// One prompt and its own limits.
struct GenerateJob {
  std::vector<std::int32_t> prompt{};  ///< with bos if the model wants one; not empty
  std::int64_t max_new_tokens = 0;
  std::vector<std::int32_t> stop{};  ///< ids that end the answer, mostly just eos
};

/// Greedy continuation of each prompt with a key-value cache. The result of a prompt does not depend on the others.
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
