#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/model/generate.h"
#include "core/model/transformer_parts.h"

namespace mneme::model {

std::vector<std::vector<double>> score_continuations(const Transformer& model, const ActiveAdapters& adapters,
                                                     std::span<const std::vector<std::int32_t>> prompts,
                                                     std::span<const std::vector<std::vector<std::int32_t>>> candidates,
                                                     const GenerateOptions& options) {
  MNEME_CHECK(prompts.size() == candidates.size(), "{} prompts and {} lists of candidates; expected as many",
              prompts.size(), candidates.size());
  const c10::NoGradGuard no_grad;
  std::vector<std::vector<double>> scores;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    scores.emplace_back();
    for (const auto& candidate : candidates[i]) {
      std::vector<std::int32_t> tokens = prompts[i];
      tokens.insert(tokens.end(), candidate.begin(), candidate.end());
      const Sequence sequence{.tokens = tokens, .first_label = static_cast<std::int64_t>(prompts[i].size())};
      const PackedBatch batch = pack({&sequence, 1});
      const ForwardOutput out = model.forward({.batch = &batch, .adapters = &adapters, .want_losses = true});
      scores.back().push_back(-out.losses.sum().item<double>());
    }
    if (options.progress) options.progress(static_cast<std::int64_t>(i) + 1);
  }
  return scores;
}

}  // namespace mneme::model
