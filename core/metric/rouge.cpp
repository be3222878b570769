#include <map>
#include <set>

#include "core/base/unicode.h"
#include "core/metric/scoring.h"

namespace mneme::metric {

namespace {
using Tokens = std::vector<std::string>;

/// rouge_score's tokens: lower case, runs of a-z and 0-9, everything else separates.
Tokens ascii_tokens(std::string_view text, bool stem) {
  Tokens tokens;
  std::string token;
  const auto flush = [&] {
    if (!token.empty()) tokens.push_back(stem && token.size() > 3 ? porter_stem(token) : token);
    token.clear();
  };
  for (const char c : to_lower(text)) {
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
      token += c;
    } else {
      flush();
    }
  }
  flush();
  return tokens;
}

Tokens plain_tokens(std::string_view text) { return ascii_tokens(text, false); }
Tokens stemmed_tokens(std::string_view text) { return ascii_tokens(text, true); }
Tokens unicode_tokens(std::string_view text) { return unicode_words(to_lower(text)); }

/// Length of the longest common subsequence, in memory linear in b.
std::size_t lcs_length(const Tokens& a, const Tokens& b) {
  std::vector<std::size_t> row(b.size() + 1, 0);
  for (const std::string& token : a) {
    std::size_t diagonal = 0;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = token == b[j - 1] ? diagonal + 1 : std::max(above, row[j - 1]);
      diagonal = above;
    }
  }
  return row.back();
}

/// Tokens that both have, each as often as the rarer side.
std::size_t common_tokens(const Tokens& a, const Tokens& b) {
  std::map<std::string_view, std::size_t> left;
  for (const std::string& token : b) ++left[token];
  std::size_t common = 0;
  for (const std::string& token : a) {
    const auto entry = left.find(token);
    if (entry == left.end() || entry->second == 0) continue;
    --entry->second;
    ++common;
  }
  return common;
}

double f_measure(std::size_t common, std::size_t predicted, std::size_t expected) {
  if (common == 0) return 0;
  const double precision = static_cast<double>(common) / static_cast<double>(predicted);
  const double recall = static_cast<double>(common) / static_cast<double>(expected);
  return 2 * precision * recall / (precision + recall);
}

template <Tokens (*tokenise)(std::string_view), std::size_t (*overlap)(const Tokens&, const Tokens&)>
double rouge(const std::string& prediction, const std::string& reference) {
  const Tokens predicted = tokenise(prediction), expected = tokenise(reference);
  return f_measure(overlap(expected, predicted), predicted.size(), expected.size());
}

/// Sentences of the pltrdy package: split at each full stop, each with single blanks; only really empty ones are left
/// out.
std::vector<Tokens> pltrdy_sentences(std::string_view text) {
  std::vector<Tokens> sentences;
  while (!text.empty()) {
    const std::size_t stop = text.find('.');
    const std::string_view sentence = text.substr(0, stop);
    if (!sentence.empty()) {
      sentences.push_back(split_whitespace(sentence));
      if (sentences.back().empty()) sentences.back().emplace_back();  // a sentence of blanks is one empty word
    }
    if (stop == std::string_view::npos) break;
    text.remove_prefix(stop + 1);
  }
  return sentences;
}

/// Adds the words of one longest common subsequence of x and y; where several are longest, the choice is that of the
/// package: from the end, a step back in x only if that strictly keeps more.
void add_lcs_words(const Tokens& x, const Tokens& y, std::set<std::string>& words) {
  const std::size_t width = y.size() + 1;
  std::vector<std::uint32_t> table((x.size() + 1) * width, 0);
  for (std::size_t i = 1; i <= x.size(); ++i) {
    for (std::size_t j = 1; j <= y.size(); ++j) {
      const std::uint32_t above = table[(i - 1) * width + j], left = table[i * width + j - 1];
      table[i * width + j] = x[i - 1] == y[j - 1] ? table[(i - 1) * width + j - 1] + 1 : std::max(above, left);
    }
  }
  for (std::size_t i = x.size(), j = y.size(); i > 0 && j > 0;) {
    if (x[i - 1] == y[j - 1]) {
      words.insert(x[i - 1]);
      --i, --j;
    } else if (table[(i - 1) * width + j] > table[i * width + j - 1]) {
      --i;
    } else {
      --j;
    }
  }
}

std::size_t distinct_words(const std::vector<Tokens>& sentences) {
  std::set<std::string_view> words;
  for (const Tokens& sentence : sentences) words.insert(sentence.begin(), sentence.end());
  return words.size();
}

double pltrdy(const std::string& hypothesis, const std::string& reference) {
  const std::vector<Tokens> evaluated = pltrdy_sentences(hypothesis), expected = pltrdy_sentences(reference);
  if (evaluated.empty() || expected.empty()) return 0;
  std::set<std::string> common;
  for (const Tokens& sentence : expected) {
    for (const Tokens& candidate : evaluated) add_lcs_words(sentence, candidate, common);
  }
  const double recall = static_cast<double>(common.size()) / static_cast<double>(distinct_words(expected));
  const double precision = static_cast<double>(common.size()) / static_cast<double>(distinct_words(evaluated));
  constexpr double kEpsilon = 1e-8;
  return 2 * (precision * recall / (precision + recall + kEpsilon));
}
}  // namespace

Score rouge1(std::span<const Sample> samples) { return score_best(samples, rouge<plain_tokens, common_tokens>); }
Score rouge1_stem(std::span<const Sample> samples) { return score_best(samples, rouge<stemmed_tokens, common_tokens>); }
Score rouge_l(std::span<const Sample> samples) { return score_best(samples, rouge<plain_tokens, lcs_length>); }
Score rouge_l_stem(std::span<const Sample> samples) { return score_best(samples, rouge<stemmed_tokens, lcs_length>); }
Score rouge_l_unicode(std::span<const Sample> samples) {
  return score_best(samples, rouge<unicode_tokens, lcs_length>);
}

Score rouge_l_llmcl(std::span<const Sample> samples) {
  Score score = rouge_l(samples);
  double sum = 0, count = 0;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    if (samples[i].prediction.empty()) continue;
    sum += score.per_example[i];
    ++count;
  }
  score.value = count > 0 ? sum / count : 0;
  return score;
}

Score rouge_l_pltrdy(std::span<const Sample> samples) { return score_best(samples, pltrdy); }

Score rouge_l_trace(std::span<const Sample> samples) {
  return score_best(samples,
                    [](const auto& prediction, const auto& reference) { return pltrdy(reference, prediction); });
}

}  // namespace mneme::metric
