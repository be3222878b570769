#include "core/metric/text_metric.h"

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/metric/scoring.h"

namespace mneme::metric {

namespace {
constexpr bool kMean = true, kSource = true, kGroup = true;

struct Row {
  const char *id, *version, *formula;
  Score (*score)(std::span<const Sample>);
  bool mean_over_examples = kMean, needs_source = !kSource, needs_group = !kGroup;
};

constexpr Row kRows[] = {
    {"accuracy", "1", "1 if prediction = reference, white space at both ends aside", accuracy},
    {"accuracy.first_char.llmcl", "1",
     "1 if the first characters of prediction and reference are the same letter of A to D (LLMCL's ScienceQA)",
     accuracy_first_char_llmcl},
    {"accuracy.first_char.trace", "1",
     "1 if the first characters of prediction and reference are equal (TRACE's ScienceQA; an empty prediction: 0)",
     accuracy_first_char_trace},
    {"accuracy.first_letter", "1",
     "1 if prediction and reference name the same option: the first of A to D with no ASCII letter, digit or "
     "apostrophe beside it; an 'A' that is not the first word and stands before a blank and a lower-case letter is an "
     "article",
     accuracy_first_letter},
    {"accuracy.first_letter.llmcl", "1",
     "1 if the first of A to D anywhere, also within words, is the same in prediction and reference (LLMCL)",
     accuracy_first_letter_llmcl},
    {"accuracy.trace", "1", "1 if prediction = reference to the byte (TRACE; an empty prediction: 0)", accuracy_trace},
    {"bleu1", "1",
     "sentence BLEU of order 1, no smoothing, brevity penalty of the nearest reference; tokens between white space and "
     "full stops (NLTK's conventions as TRACE calls it)",
     bleu1},
    {"bleu4", "1", "as bleu1, geometric mean of orders 1 to 4; an order without a match counts 2.2e-308", bleu4},
    {"exact_match", "1", "1 if equal in lower case, without ASCII punctuation, with single blanks (O-LoRA, SAPT)",
     exact_match},
    {"exact_match.lower", "1", "1 if equal in lower case, white space at both ends aside (TaSL)", exact_match_lower},
    {"exact_match.number", "1",
     "reference a number: 1 if the first number of the prediction is within 1e-6 of it, relatively; sign, thousands "
     "commas and fraction are read. Reference not a number: exact_match",
     exact_match_number},
    {"exact_match.number.llmcl", "1",
     "1 if the first \\d+\\.?\\d* of prediction and reference are the same text (LLMCL: signs are lost)",
     exact_match_number_llmcl},
    {"jga", "1", "joint goal accuracy: the share of groups (turns) whose every row is right in exact_match.lower",
     joint_goal_accuracy, !kMean, !kSource, kGroup},
    {"rouge1", "1", "F1 of common words over runs of a-z and 0-9 in lower case (rouge_score)", rouge1},
    {"rouge1.stem", "1", "as rouge1; words of more than 3 letters by their Porter stem (rouge_score with use_stemmer)",
     rouge1_stem},
    {"rougeL", "1",
     "F1 of the longest common subsequence over runs of a-z and 0-9 in lower case (rouge_score); drops what is not "
     "ASCII",
     rouge_l},
    {"rougeL.llmcl", "1", "as rougeL, the mean over rows whose prediction is not empty (LLMCL)", rouge_l_llmcl, !kMean,
     !kSource, !kGroup},
    {"rougeL.pltrdy", "1",
     "rouge-l of the package rouge 1.0.1: sentences between full stops, the set of words in the union of the longest "
     "common subsequences of all sentence pairs over the sets of words; 2PR/(P+R+1e-8); an empty side: 0",
     rouge_l_pltrdy},
    {"rougeL.stem", "1", "as rougeL; words of more than 3 letters by their Porter stem (rouge_score with use_stemmer)",
     rouge_l_stem},
    {"rougeL.trace", "1", "as rougeL.pltrdy with prediction and reference exchanged, as TRACE calls it", rouge_l_trace},
    {"rougeL.unicode", "1",
     "as rougeL over Unicode words: each Chinese or Japanese character (and Thai, Lao, Khmer, Myanmar) alone, "
     "otherwise runs of letters, marks and digits",
     rouge_l_unicode},
    {"sari", "1",
     "mean of F1(keep), precision(delete) and F1(add), each the mean over 1- to 4-grams of 13a tokens in lower case, "
     "per sentence, 0/0 = 1 (Hugging Face, EASSE; 0 to 1); all references together",
     sari, kMean, kSource, !kGroup},
    {"similarity", "1", "2 M / (|prediction| + |reference|), M the characters in difflib's matching blocks",
     similarity},
    {"similarity.fuzz", "1", "similarity to two digits (fuzzywuzzy's ratio with difflib); an empty side: 0",
     similarity_fuzz},
};
}  // namespace

const std::vector<TextMetric>& text_metrics() {
  static const std::vector<TextMetric> metrics = [] {
    std::vector<TextMetric> all;
    for (const Row& row : kRows)
      all.push_back(
          {row.id, row.version, row.formula, row.mean_over_examples, row.needs_source, row.needs_group, row.score});
    return all;
  }();
  return metrics;
}

const TextMetric& text_metric(std::string_view id) {
  std::vector<std::string> ids;
  for (const TextMetric& metric : text_metrics()) {
    if (metric.id == id) return metric;
    ids.push_back(metric.id);
  }
  throw DataError(fmt::format("unknown text metric '{}'{}", id, hint(id, ids)));
}

double mean_of(std::span<const double> values) {
  MNEME_CHECK(!values.empty(), "the mean of no values is not defined");
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

void check_samples(std::span<const Sample> samples) {
  if (samples.empty()) throw DataError("no samples to score; expected at least one row");
  for (std::size_t i = 0; i < samples.size(); ++i) {
    if (samples[i].references.empty())
      throw DataError(
          fmt::format("sample {} has no references; expected at least one to score the prediction against", i));
  }
}

}  // namespace mneme::metric
