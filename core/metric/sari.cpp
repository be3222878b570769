#include <map>
#include <string>

#include "core/base/error.h"
#include "core/base/unicode.h"
#include "core/metric/scoring.h"

// Source: Xu et al. 2016, eq. 3 to 9, with the two corrections that the tensor2tensor, EASSE and Hugging Face versions
// share: 0/0 counts as 1, and the recall of "keep" is over counts, not over distinct n-grams.
namespace mneme::metric {

namespace {
using Counts = std::map<std::string, double>;

Counts count_ngrams(const std::vector<std::string>& tokens, std::size_t n, double weight = 1) {
  Counts counts;
  for (std::size_t i = 0; i + n <= tokens.size(); ++i) {
    std::string ngram = tokens[i];
    for (std::size_t k = 1; k < n; ++k) ngram += " " + tokens[i + k];
    counts[ngram] += weight;
  }
  return counts;
}

double count_of(const Counts& counts, const std::string& ngram) {
  const auto entry = counts.find(ngram);
  return entry == counts.end() ? 0 : entry->second;
}

/// A quotient whose 0/0 is 1.
double share(double part, double whole) { return whole > 0 ? part / whole : 1; }

double harmonic_mean(double a, double b) { return a > 0 || b > 0 ? 2 * a * b / (a + b) : 0; }

/// n-gram counts of one sample: source and prediction weighted by the number of references, all references together.
struct NGrams {
  Counts source, prediction, references;
};

/// F1 of the n-grams kept.
double keep_score(const NGrams& grams) {
  double precision = 0, kept = 0, right = 0, should = 0;
  for (const auto& [ngram, count] : grams.source) {
    const double in_output = std::min(count, count_of(grams.prediction, ngram));
    const double in_references = std::min(count, count_of(grams.references, ngram));
    const double both = std::min(in_output, count_of(grams.references, ngram));
    should += in_references;
    if (in_output == 0) continue;
    kept += 1;
    precision += both / in_output;
    right += both;
  }
  return harmonic_mean(share(precision, kept), share(right, should));
}

/// Precision of the n-grams deleted.
double delete_score(const NGrams& grams) {
  double deleted = 0, precision = 0;
  for (const auto& [ngram, count] : grams.source) {
    const double gone = count - count_of(grams.prediction, ngram);
    if (gone <= 0) continue;
    deleted += 1;
    precision += std::max(gone - count_of(grams.references, ngram), 0.0) / gone;
  }
  return share(precision, deleted);
}

/// F1 of the distinct n-grams added.
double add_score(const NGrams& grams) {
  double added = 0, right = 0, should = 0;
  for (const auto& [ngram, count] : grams.prediction) {
    if (grams.source.contains(ngram)) continue;
    added += 1;
    right += grams.references.contains(ngram);
  }
  for (const auto& [ngram, count] : grams.references) should += !grams.source.contains(ngram);
  return harmonic_mean(share(right, added), share(right, should));
}

double sentence_sari(const Sample& sample) {
  constexpr int kOrders = 4;
  const double reference_count = static_cast<double>(sample.references.size());
  const auto source = tokens_13a(to_lower(sample.source));
  const auto prediction = tokens_13a(to_lower(sample.prediction));
  std::vector<std::vector<std::string>> references;
  for (const std::string& reference : sample.references) references.push_back(tokens_13a(to_lower(reference)));
  double keep = 0, deletion = 0, add = 0;
  for (std::size_t n = 1; n <= kOrders; ++n) {
    NGrams grams{count_ngrams(source, n, reference_count), count_ngrams(prediction, n, reference_count), {}};
    for (const std::string& reference : sample.references) {
      for (const auto& [ngram, count] : count_ngrams(tokens_13a(to_lower(reference)), n))
        grams.references[ngram] += count;
    }
    keep += keep_score(grams) / kOrders;
    deletion += delete_score(grams) / kOrders;
    add += add_score(grams) / kOrders;
  }
  return (keep + deletion + add) / 3;
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_stop(char c) { return c == '.' || c == ','; }
/// ASCII punctuation without ' , - and . (the blank is harmless).
bool is_separated(char c) {
  return (c >= '{' && c <= '~') || (c >= '[' && c <= '`') || (c >= ' ' && c <= '&') || (c >= '(' && c <= '+') ||
         (c >= ':' && c <= '@') || c == '/';
}

/// Rewrites each non-overlapping pair (a, b), found from the left, that `matches` accepts. A byte of a multi-byte
/// character stands for that character: none of the patterns looks inside one.
template <class Matches, class Replace>
std::string rewrite_pairs(const std::string& text, Matches matches, Replace replace) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    if (i + 1 < text.size() && matches(text[i], text[i + 1])) {
      out += replace(text[i], text[i + 1]);
      i += 2;
    } else {
      out += text[i++];
    }
  }
  return out;
}
}  // namespace

std::vector<std::string> tokens_13a(std::string_view input) {
  std::string text(input);
  replace_all(text, "<skipped>", "");
  replace_all(text, "-\n", "");
  replace_all(text, "\n", " ");
  replace_all(text, "&quot;", "\"");
  replace_all(text, "&amp;", "&");
  replace_all(text, "&lt;", "<");
  replace_all(text, "&gt;", ">");
  std::string spaced = " ";
  for (const char c : text) spaced += is_separated(c) ? std::string{' ', c, ' '} : std::string{c};
  spaced += ' ';
  const auto blank_around = [](char a, char b) { return std::string{a, ' ', b, ' '}; };
  spaced = rewrite_pairs(
      spaced, [](char a, char b) { return !is_digit(a) && is_stop(b); }, blank_around);
  spaced = rewrite_pairs(
      spaced, [](char a, char b) { return is_stop(a) && !is_digit(b); },
      [](char a, char b) {
        return std::string{' ', a, ' ', b};
      });
  spaced = rewrite_pairs(
      spaced, [](char a, char b) { return is_digit(a) && b == '-'; }, blank_around);
  std::vector<std::string> tokens = split_whitespace(spaced);
  if (tokens.empty()) tokens.emplace_back();
  return tokens;
}

Score sari(std::span<const Sample> samples) {
  for (std::size_t i = 0; i < samples.size(); ++i) {
    if (samples[i].source.empty())
      throw DataError(
          fmt::format("metric sari: sample {} has no source; expected the text that was to be rewritten", i));
  }
  return score_each(samples, sentence_sari);
}

}  // namespace mneme::metric
