#include <array>
#include <cmath>
#include <limits>
#include <map>

#include "core/base/unicode.h"
#include "core/metric/scoring.h"

// Source: Papineni et al. 2002; conventions of NLTK's sentence_bleu without smoothing, as TRACE and ScienceQA call it.
namespace mneme::metric {

namespace {
using Tokens = std::vector<std::string>;
using Counts = std::map<std::vector<std::string_view>, std::int64_t>;

/// Parts between white space and full stops.
Tokens bleu_tokens(std::string text) {
  std::replace(text.begin(), text.end(), '.', ' ');
  return split_whitespace(text);
}

Counts count_ngrams(const Tokens& tokens, std::size_t n) {
  Counts counts;
  for (std::size_t i = 0; i + n <= tokens.size(); ++i) ++counts[{tokens.begin() + i, tokens.begin() + i + n}];
  return counts;
}

/// Modified precision's numerator and denominator: n-grams of the hypothesis, clipped to their highest count in any
/// reference, over all of them.
std::pair<std::int64_t, std::int64_t> clipped_matches(const std::vector<Tokens>& references, const Tokens& hypothesis,
                                                      std::size_t n) {
  std::vector<Counts> expected;
  for (const Tokens& reference : references) expected.push_back(count_ngrams(reference, n));
  std::int64_t matches = 0, total = 0;
  for (const auto& [ngram, count] : count_ngrams(hypothesis, n)) {
    std::int64_t most = 0;
    for (const Counts& counts : expected) {
      if (const auto entry = counts.find(ngram); entry != counts.end()) most = std::max(most, entry->second);
    }
    matches += std::min(count, most);
    total += count;
  }
  return {matches, std::max<std::int64_t>(total, 1)};
}

/// exp(1 - r/h) for a hypothesis shorter than the reference nearest in length (the shorter of two as near).
double brevity_penalty(const std::vector<Tokens>& references, std::size_t length) {
  const auto distance = [&](std::size_t other) { return other > length ? other - length : length - other; };
  std::size_t closest = references.front().size();
  for (const Tokens& reference : references) {
    const std::size_t now = distance(reference.size()), best = distance(closest);
    if (now < best || (now == best && reference.size() < closest)) closest = reference.size();
  }
  if (length > closest) return 1;
  return length == 0 ? 0 : std::exp(1 - static_cast<double>(closest) / static_cast<double>(length));
}

template <std::size_t order>
double sentence_bleu(const Sample& sample) {
  if (sample.prediction.empty()) return 0;
  std::vector<Tokens> references;
  for (const std::string& reference : sample.references) references.push_back(bleu_tokens(reference));
  const Tokens hypothesis = bleu_tokens(sample.prediction);
  double log_sum = 0;
  for (std::size_t n = 1; n <= order; ++n) {
    const auto [matches, total] = clipped_matches(references, hypothesis, n);
    if (n == 1 && matches == 0) return 0;
    const double precision =
        matches > 0 ? static_cast<double>(matches) / static_cast<double>(total) : std::numeric_limits<double>::min();
    log_sum += std::log(precision) / order;
  }
  return brevity_penalty(references, hypothesis.size()) * std::exp(log_sum);
}
}  // namespace

Score bleu1(std::span<const Sample> samples) { return score_each(samples, sentence_bleu<1>); }
Score bleu4(std::span<const Sample> samples) { return score_each(samples, sentence_bleu<4>); }

}  // namespace mneme::metric
