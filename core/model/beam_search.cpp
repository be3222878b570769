#include "core/model/beam_search.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace mneme::model {
namespace {

/// In place of minus infinity: scores stay comparable after sums.
constexpr float kHopeless = -1e9f;

/// The best `count` by score; equal ones stay in order.
void keep_best(std::vector<BeamSearch::Beam>& beams, std::int64_t count) {
  std::stable_sort(beams.begin(), beams.end(), [](const auto& a, const auto& b) { return a.score > b.score; });
  beams.resize(static_cast<std::size_t>(count));
}

}  // namespace

BeamSearch::BeamSearch(const BeamOptions& options, const GenerateJob& job,
                       std::function<bool(std::span<const std::int32_t>)> stops)
    : options_(options), job_(job), stops_(std::move(stops)) {
  // All beams start equal: only the first one counts, or all would go on alike.
  running_.resize(static_cast<std::size_t>(options.beams), {.score = kHopeless});
  running_[0].score = 0;
  finished_.resize(static_cast<std::size_t>(options.beams), {.score = kHopeless});
}

void BeamSearch::advance(const at::Tensor& log_probabilities) {
  const std::vector<Beam> next = candidates(log_probabilities);
  keep_running(next);
  keep_finished(next);
  ++length_;
  const auto penalty = static_cast<float>(std::pow(static_cast<double>(length_), options_.length_penalty));
  const float worst = all_finished() ? finished_.back().score : kHopeless;
  may_improve_ = may_improve_ && running_.front().score / penalty > worst;
  const bool stuck = std::all_of(next.begin(), next.end(), [](const Beam& beam) { return beam.finished; });
  done_ = !may_improve_ || (all_finished() && options_.early_stopping) || stuck;
}

std::vector<BeamSearch::Beam> BeamSearch::candidates(const at::Tensor& log_probabilities) const {
  const std::int64_t vocabulary = log_probabilities.size(1);
  std::vector<float> scores;
  for (const Beam& beam : running_) scores.push_back(beam.score);
  const at::Tensor accumulated = (log_probabilities + at::tensor(scores).unsqueeze(1)).flatten();
  // With one more than there are ways to stop, enough go on even if the best all stop.
  const auto stops = static_cast<std::int64_t>(job_.stop.size());
  const std::int64_t count = std::min(std::max<std::int64_t>(2, 1 + stops) * options_.beams, accumulated.numel());
  const auto [values, indices] = at::topk(accumulated, count);
  std::vector<Beam> made;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t index = indices.const_data_ptr<std::int64_t>()[i];
    Beam beam{.tokens = running_[static_cast<std::size_t>(index / vocabulary)].tokens,
              .score = values.const_data_ptr<float>()[i],
              .source = index / vocabulary};
    beam.tokens.push_back(static_cast<std::int32_t>(index % vocabulary));
    beam.finished = static_cast<std::int64_t>(beam.tokens.size()) >= job_.max_new_tokens || stops_(beam.tokens);
    made.push_back(std::move(beam));
  }
  return made;
}

void BeamSearch::keep_running(const std::vector<Beam>& candidates) {
  running_ = candidates;
  for (Beam& beam : running_)
    if (beam.finished) beam.score += kHopeless;
  keep_best(running_, options_.beams);
}

void BeamSearch::keep_finished(std::vector<Beam> candidates) {
  const auto penalty = static_cast<float>(std::pow(static_cast<double>(length_ + 1), options_.length_penalty));
  const bool full = all_finished() && options_.early_stopping;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    Beam& beam = candidates[i];
    // Those behind the best are there to go on, not to end.
    beam.finished = beam.finished && i < static_cast<std::size_t>(options_.beams);
    beam.score /= penalty;
    if (full) beam.score += kHopeless;
    if (!may_improve_) beam.score += kHopeless;
    if (!beam.finished) beam.score += kHopeless;
  }
  finished_.insert(finished_.end(), candidates.begin(), candidates.end());
  keep_best(finished_, options_.beams);
}

bool BeamSearch::all_finished() const {
  return std::all_of(finished_.begin(), finished_.end(), [](const Beam& beam) { return beam.finished; });
}

}  // namespace mneme::model
