#include "core/model/next_token.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <vector>

namespace mneme::model {

void penalise_repetition(std::span<float> scores, std::span<const std::int32_t> history, double penalty) {
  if (penalty == 1) return;
  const auto factor = static_cast<float>(penalty);
  for (const std::int32_t token : std::set<std::int32_t>(history.begin(), history.end())) {
    float& score = scores[static_cast<std::size_t>(token)];
    score = score < 0 ? score * factor : score / factor;
  }
}

std::int32_t likeliest(std::span<const float> scores) {
  return static_cast<std::int32_t>(std::max_element(scores.begin(), scores.end()) - scores.begin());
}

std::int32_t draw(std::span<const float> logits, const Sampling& sampling, RandomStream& random) {
  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto logit = [&](std::int32_t token) { return logits[static_cast<std::size_t>(token)]; };
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) { return logit(a) > logit(b); });
  if (sampling.top_k > 0 && sampling.top_k < static_cast<std::int64_t>(order.size())) {
    // Tokens as likely as the last one stay, as in transformers.
    const float least = logit(order[static_cast<std::size_t>(sampling.top_k - 1)]);
    while (logit(order.back()) < least) order.pop_back();
  }
  std::vector<double> weights;
  const double top = logit(order.front());
  for (const std::int32_t token : order) weights.push_back(std::exp((logit(token) - top) / sampling.temperature));
  double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  if (sampling.top_p < 1) {
    // The least likely tokens go as long as what has gone has at most 1 - p.
    double gone = 0;
    while (weights.size() > 1 && gone + weights.back() <= (1 - sampling.top_p) * total) {
      gone += weights.back();
      weights.pop_back();
    }
    total -= gone;
  }
  double left = random.uniform() * total;
  std::size_t chosen = 0;
  while (chosen + 1 < weights.size() && left >= weights[chosen]) left -= weights[chosen++];
  return order[chosen];
}

}  // namespace mneme::model
