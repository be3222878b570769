#include "core/strategy/prompt_features.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "core/base/error.h"
#include "core/base/hash.h"

namespace mneme {

namespace {
/// Hidden states of the bare model as they enter a layer, and where the sequences' rows start: an encoder has no rows
/// for the answers.
struct LowerStates {
  at::Tensor states;  // [N, D]
  std::vector<std::int64_t> offsets;

  at::Tensor of(std::size_t sequence) const {
    return states.narrow(0, offsets[sequence], offsets[sequence + 1] - offsets[sequence]);
  }
};

LowerStates lower_states(Learner& learner, const Batch& batch, std::int64_t layer) {
  at::NoGradGuard off;
  ForwardSpec spec;
  spec.end_layer = layer;
  const model::ForwardOutput output = learner.forward(spec, batch);
  return {output.hidden.front().detach(), output.hidden_offsets.front()};
}

/// Mean of a prompt's hidden states, each scaled to a root mean square of one before: [D].
at::Tensor pooled(const at::Tensor& states) {
  const at::Tensor h = states.to(at::kFloat);
  return (h / (h.square().mean(1, /*keepdim=*/true) + 1e-12).sqrt()).mean(0);
}

using Jobs = std::span<const model::GenerateJob>;

std::string key_of(Jobs prompts, std::int64_t layer) {
  Sha256 hash;
  for (const model::GenerateJob& job : prompts) {
    hash.update(fmt::format("|{}:", job.prompt.size()));
    hash.update(job.prompt.data(), job.prompt.size() * sizeof(job.prompt[0]));
  }
  return fmt::format("prompt features v1, layer {}, {}", layer, hash.hex());
}

at::Tensor compute_features(Learner& learner, Jobs prompts, std::int64_t layer) {
  std::vector<at::Tensor> features;
  const auto step = static_cast<std::size_t>(std::max<std::int64_t>(1, learner.options().pass_batch));
  for (std::size_t i = 0; i < prompts.size(); i += step) {
    const Jobs part = prompts.subspan(i, std::min(step, prompts.size() - i));
    const Batch batch = make_batch(PromptBatch{{part.begin(), part.end()}, {}});
    const LowerStates states = lower_states(learner, batch, layer);
    for (std::size_t s = 0; s < part.size(); ++s) features.push_back(pooled(states.of(s)));
  }
  return at::stack(features);
}
}  // namespace

std::int64_t default_shared_layers(const model::TransformerConfig& config) {
  return std::lround(static_cast<double>(config.num_hidden_layers) / 8.0);
}

at::Tensor prompt_features(Learner& learner, const PromptBatch& prompts, std::int64_t layer) {
  // In pieces, so that prompts which are asked for again with others behind them are found.
  constexpr std::size_t kPiece = 256;
  const Jobs all = prompts.prompts;
  std::vector<at::Tensor> features = {at::zeros({0, learner.model().config().hidden_size}, at::kFloat)};
  for (std::size_t i = 0; i < all.size(); i += kPiece) {
    const Jobs piece = all.subspan(i, std::min(kPiece, all.size() - i));
    features.push_back(learner.cached(key_of(piece, layer), [&] { return compute_features(learner, piece, layer); }));
  }
  return at::cat(features);
}

PromptBatch prompts_of(const Dataset& samples) {
  PromptBatch prompts;
  for (const SamplePtr& sample : samples)
    prompts.prompts.push_back({Tokens(sample->tokens.begin(), sample->tokens.begin() + sample->first_label), 0, {}});
  return prompts;
}

at::Tensor SharedStates::hold(Learner& learner, const Dataset& samples) {
  clear();
  std::int64_t bytes = 0;
  std::vector<at::Tensor> features;
  learner.pass_over(samples, [&](const Batch& batch) {
    const LowerStates states = lower_states(learner, batch, layer_);
    bytes += static_cast<std::int64_t>(states.states.nbytes());
    for (std::size_t s = 0; s < batch.samples.size(); ++s) {
      const at::Tensor own = states.of(s);
      features.push_back(pooled(own.narrow(0, 0, batch.samples[s]->first_label)));
      if (layer_ > 0 && bytes <= budget_) held_[batch.samples[s].get()] = own;
    }
  });
  return features.empty() ? at::zeros({0, learner.model().config().hidden_size}, at::kFloat) : at::stack(features);
}

ForwardSpec SharedStates::resumed(Learner& learner, ForwardSpec spec, const Batch& batch) const {
  if (layer_ == 0) return spec;
  std::vector<at::Tensor> states;
  for (const SamplePtr& sample : batch.samples) {
    const auto held = held_.find(sample.get());
    if (held == held_.end()) break;
    states.push_back(held->second);
  }
  spec.first_layer = layer_;
  spec.resume = states.size() == batch.samples.size() ? at::cat(states) : lower_states(learner, batch, layer_).states;
  return spec;
}

MemoryNeed SharedStates::memory(const MemoryCase& run, std::int64_t layer, std::int64_t budget) {
  if (layer == 0) return {};
  double tokens = 0;
  for (const TaskLoad& task : run.tasks) tokens = std::max(tokens, task.tokens);
  const bool encoder = run.config.encoder_decoder();
  return {.kept = std::min(run.states(tokens), static_cast<double>(budget)),
          .step = run.states(static_cast<double>(encoder ? run.step.source_rows : run.step.rows))};
}

}  // namespace mneme
