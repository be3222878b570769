#include "core/strategy/replay_buffer.h"

#include <algorithm>

#include "core/base/error.h"

namespace mneme {

ReplayBuffer::ReplayBuffer(std::int64_t capacity, RandomStream random) : capacity_(capacity), random_(random) {
  MNEME_CHECK(capacity >= 0, "the replay buffer's capacity is {}; it must be at least 0", capacity);
}

void ReplayBuffer::insert(const SamplePtr& sample) {
  const std::int64_t before = seen_++;
  if (before < capacity_) {
    samples_.push_back(sample);
    return;
  }
  const auto slot = static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(before) + 1));
  if (slot < capacity_) samples_[static_cast<std::size_t>(slot)] = sample;
}

Dataset ReplayBuffer::draw(std::int64_t count) {
  Dataset drawn;
  for (const std::int64_t i : random_.sample(size(), std::min(count, size())))
    drawn.push_back(samples_[static_cast<std::size_t>(i)]);
  return drawn;
}

void ReplayBuffer::visit_state(StateVisitor& visitor) {
  visitor.integer("seen", seen_);
  visitor.random("random", random_);
  std::vector<std::int64_t> tokens, lengths, first_labels, tasks;
  for (const auto& sample : samples_) {
    tokens.insert(tokens.end(), sample->tokens.begin(), sample->tokens.end());
    lengths.push_back(static_cast<std::int64_t>(sample->tokens.size()));
    first_labels.push_back(sample->first_label);
    tasks.push_back(sample->task);
  }
  visitor.integers("tokens", tokens);
  visitor.integers("lengths", lengths);
  visitor.integers("first_labels", first_labels);
  visitor.integers("tasks", tasks);
  if (!visitor.loading()) return;
  samples_.clear();
  auto next = tokens.begin();
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    Sample sample;
    sample.tokens.assign(next, next + lengths[i]);
    sample.first_label = first_labels[i];
    sample.task = tasks[i];
    samples_.push_back(std::make_shared<const Sample>(std::move(sample)));
    next += lengths[i];
  }
}

}  // namespace mneme
