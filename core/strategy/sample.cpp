#include "core/strategy/sample.h"

#include <algorithm>

#include "core/base/error.h"

namespace mneme {

Batch make_batch(Dataset samples) {
  std::vector<model::Sequence> sequences;
  for (const auto& sample : samples) sequences.push_back({sample->tokens, sample->first_label});
  Batch batch;
  batch.packed = model::pack(sequences);
  batch.samples = std::move(samples);
  return batch;
}

Batch make_batch(const PromptBatch& prompts) {
  std::vector<Tokens> tokens;
  for (const auto& prompt : prompts.prompts) tokens.push_back(prompt.prompt);
  Batch batch;
  batch.packed = model::pack_prompts(tokens);
  return batch;
}

const Batch& StepBatch::current() const {
  const Batch* batch = find("current");
  MNEME_CHECK(batch != nullptr, "the step has no part 'current'; compose() must keep it");
  return *batch;
}

const Batch* StepBatch::find(const std::string& part) const {
  const auto it = parts.find(part);
  return it == parts.end() ? nullptr : &it->second;
}

namespace {
std::int64_t prompt_tokens(const Batch& batch) {
  std::int64_t sum = 0;
  for (const SamplePtr& sample : batch.samples) sum += sample->first_label;
  return sum;
}

/// Samples of the part that decides how often a step can be cut: the current ones, else those of the largest part.
std::int64_t leading_size(const StepParts& parts) {
  if (const auto it = parts.find("current"); it != parts.end() && !it->second.empty())
    return static_cast<std::int64_t>(it->second.size());
  std::size_t most = 0;
  for (const auto& [name, samples] : parts) most = std::max(most, samples.size());
  return static_cast<std::int64_t>(most);
}
}  // namespace

std::vector<StepBatch> split_step(const StepParts& parts, std::int64_t count) {
  count = std::min(count, leading_size(parts));
  std::vector<StepBatch> micro(static_cast<std::size_t>(count));
  for (auto& step : micro) step.step_share = 1.0 / static_cast<double>(count);
  for (const auto& [name, samples] : parts) {
    const auto total = static_cast<std::int64_t>(samples.size());
    std::int64_t labels = 0, tokens = 0, prompts = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      Dataset run(samples.begin() + total * i / count, samples.begin() + total * (i + 1) / count);
      if (run.empty()) continue;
      const Batch& batch =
          micro[static_cast<std::size_t>(i)].parts.emplace(name, make_batch(std::move(run))).first->second;
      labels += batch.packed.label_count();
      tokens += batch.packed.tokens();
      prompts += prompt_tokens(batch);
    }
    for (auto& step : micro) {
      const auto it = step.parts.find(name);
      if (it == step.parts.end()) continue;
      Batch& batch = it->second;
      const auto share = [](std::int64_t part, std::int64_t whole) {
        return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
      };
      batch.label_share = share(batch.packed.label_count(), labels);
      batch.token_share = share(batch.packed.tokens(), tokens);
      batch.prompt_share = share(prompt_tokens(batch), prompts);
      batch.sequence_share = share(batch.size(), total);
    }
  }
  return micro;
}

}  // namespace mneme
