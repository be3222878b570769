#pragma once

#include <algorithm>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/metric/text_metric.h"

// What the files of the text metrics share; not for users of the module.
namespace mneme::metric {

/// Throws DataError for no samples or a sample without references.
void check_samples(std::span<const Sample> samples);

/// The mean over samples of f(sample).
template <class F>
Score score_each(std::span<const Sample> samples, F&& f) {
  check_samples(samples);
  Score score;
  score.per_example.reserve(samples.size());
  for (const Sample& sample : samples) score.per_example.push_back(f(sample));
  score.value = mean_of(score.per_example);
  return score;
}

/// The mean over samples of the best f(prediction, reference).
template <class F>
Score score_best(std::span<const Sample> samples, F&& f) {
  return score_each(samples, [&](const Sample& sample) {
    double best = 0;
    for (const std::string& reference : sample.references)
      best = std::max(best, static_cast<double>(f(sample.prediction, reference)));
    return best;
  });
}

/// Lower-case Porter stem in NLTK's variant of the algorithm, which rouge_score uses. ASCII lower-case words only.
std::string porter_stem(std::string_view word);

/// The tokens of mteval-v13a as sacrebleu has them, for text of any case; a text without tokens gives one empty token.
std::vector<std::string> tokens_13a(std::string_view text);

Score accuracy(std::span<const Sample> samples);
Score accuracy_trace(std::span<const Sample> samples);
Score accuracy_first_letter(std::span<const Sample> samples);
Score accuracy_first_letter_llmcl(std::span<const Sample> samples);
Score accuracy_first_char_llmcl(std::span<const Sample> samples);
Score accuracy_first_char_trace(std::span<const Sample> samples);
Score bleu1(std::span<const Sample> samples);
Score bleu4(std::span<const Sample> samples);
Score exact_match(std::span<const Sample> samples);
Score exact_match_lower(std::span<const Sample> samples);
Score exact_match_number(std::span<const Sample> samples);
Score exact_match_number_llmcl(std::span<const Sample> samples);
Score joint_goal_accuracy(std::span<const Sample> samples);
Score rouge1(std::span<const Sample> samples);
Score rouge1_stem(std::span<const Sample> samples);
Score rouge_l(std::span<const Sample> samples);
Score rouge_l_stem(std::span<const Sample> samples);
Score rouge_l_unicode(std::span<const Sample> samples);
Score rouge_l_llmcl(std::span<const Sample> samples);
Score rouge_l_pltrdy(std::span<const Sample> samples);
Score rouge_l_trace(std::span<const Sample> samples);
Score sari(std::span<const Sample> samples);
Score similarity(std::span<const Sample> samples);
Score similarity_fuzz(std::span<const Sample> samples);

}  // namespace mneme::metric
