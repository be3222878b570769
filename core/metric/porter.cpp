#include <initializer_list>
#include <utility>

#include "core/metric/scoring.h"

// Source: Porter 1980, "An algorithm for suffix stripping", with the extensions that NLTK documents for its default
// mode.
namespace mneme::metric {

namespace {
bool is_vowel(char c) { return c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u'; }

/// For each letter whether it is a consonant; y is one at the start and behind a vowel.
std::vector<bool> consonants(std::string_view word) {
  std::vector<bool> flags;
  for (std::size_t i = 0; i < word.size(); ++i)
    flags.push_back(word[i] == 'y' ? i == 0 || !flags[i - 1] : !is_vowel(word[i]));
  return flags;
}

/// m of [C](VC){m}[V].
int measure(std::string_view stem) {
  const std::vector<bool> flags = consonants(stem);
  int m = 0;
  for (std::size_t i = 1; i < flags.size(); ++i) m += !flags[i - 1] && flags[i];
  return m;
}

bool has_vowel(std::string_view stem) {
  const std::vector<bool> flags = consonants(stem);
  return std::find(flags.begin(), flags.end(), false) != flags.end();
}

bool ends_double_consonant(std::string_view word) {
  return word.size() >= 2 && word.back() == word[word.size() - 2] && consonants(word).back();
}

/// *o: ends consonant-vowel-consonant, the last not w, x or y; in the extended algorithm also a vowel-consonant pair.
bool ends_cvc(std::string_view word) {
  const std::vector<bool> c = consonants(word);
  const std::size_t n = word.size();
  if (n == 2) return !c[0] && c[1];
  return n >= 3 && c[n - 3] && !c[n - 2] && c[n - 1] && word.back() != 'w' && word.back() != 'x' && word.back() != 'y';
}

std::string_view drop(std::string_view word, std::size_t letters) { return word.substr(0, word.size() - letters); }

struct Rule {
  std::string_view suffix, replacement;
};

/// Applies the first rule whose suffix matches, if the stem's measure exceeds `above`; no further rule is tried.
std::string apply(std::string_view word, std::initializer_list<Rule> rules, int above) {
  for (const Rule& rule : rules) {
    if (!word.ends_with(rule.suffix)) continue;
    const std::string_view stem = drop(word, rule.suffix.size());
    if (measure(stem) > above) return std::string(stem) + std::string(rule.replacement);
    break;
  }
  return std::string(word);
}

std::string step_1a(std::string_view word) {
  if (word.ends_with("ies") && word.size() == 4) return std::string(drop(word, 1));
  if (word.ends_with("sses") || word.ends_with("ies")) return std::string(drop(word, 2));
  return std::string(word.ends_with("ss") || !word.ends_with("s") ? word : drop(word, 1));
}

std::string step_1b(std::string_view word) {
  if (word.ends_with("ied")) return std::string(drop(word, word.size() == 4 ? 1 : 2));
  if (word.ends_with("eed")) return std::string(measure(drop(word, 3)) > 0 ? drop(word, 1) : word);
  std::string_view stem;
  if (word.ends_with("ed") && has_vowel(drop(word, 2))) {
    stem = drop(word, 2);
  } else if (word.ends_with("ing") && has_vowel(drop(word, 3))) {
    stem = drop(word, 3);
  } else {
    return std::string(word);
  }
  if (stem.ends_with("at") || stem.ends_with("bl") || stem.ends_with("iz")) return std::string(stem) + "e";
  if (ends_double_consonant(stem)) {
    const char last = stem.back();
    return std::string(last == 'l' || last == 's' || last == 'z' ? stem : drop(stem, 1));
  }
  return std::string(stem) + (measure(stem) == 1 && ends_cvc(stem) ? "e" : "");
}

std::string step_1c(std::string_view word) {
  if (word.ends_with("y") && word.size() > 2 && consonants(drop(word, 1)).back())
    return std::string(drop(word, 1)) + "i";
  return std::string(word);
}

std::string step_2(std::string_view word) {
  if (word.ends_with("alli") && measure(drop(word, 4)) > 0) return step_2(drop(word, 2));
  constexpr std::string_view kLogi = "logi";
  if (word.ends_with(kLogi)) return std::string(measure(drop(word, 3)) > 0 ? drop(word, 1) : word);
  return apply(word, {{"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"}, {"anci", "ance"}, {"izer", "ize"},
                      {"bli", "ble"},     {"alli", "al"},     {"entli", "ent"}, {"eli", "e"},     {"ousli", "ous"},
                      {"ization", "ize"}, {"ation", "ate"},   {"ator", "ate"},  {"alism", "al"},  {"iveness", "ive"},
                      {"fulness", "ful"}, {"ousness", "ous"}, {"aliti", "al"},  {"iviti", "ive"}, {"biliti", "ble"},
                      {"fulli", "ful"}},
               0);
}

std::string step_3(std::string_view word) {
  return apply(
      word,
      {{"icate", "ic"}, {"ative", ""}, {"alize", "al"}, {"iciti", "ic"}, {"ical", "ic"}, {"ful", ""}, {"ness", ""}}, 0);
}

std::string step_4(std::string_view word) {
  if (word.ends_with("ion") && !word.ends_with("sion") && !word.ends_with("tion")) return std::string(word);
  return apply(word,
               {{"al", ""},
                {"ance", ""},
                {"ence", ""},
                {"er", ""},
                {"ic", ""},
                {"able", ""},
                {"ible", ""},
                {"ant", ""},
                {"ement", ""},
                {"ment", ""},
                {"ent", ""},
                {"ion", ""},
                {"ou", ""},
                {"ism", ""},
                {"ate", ""},
                {"iti", ""},
                {"ous", ""},
                {"ive", ""},
                {"ize", ""}},
               1);
}

std::string step_5(std::string word) {
  if (word.ends_with("e")) {
    const std::string_view stem = drop(word, 1);
    const int m = measure(stem);
    if (m > 1 || (m == 1 && !ends_cvc(stem))) word.pop_back();
  }
  if (word.ends_with("ll") && measure(drop(word, 1)) > 1) word.pop_back();
  return word;
}

/// Words that the extended algorithm knows by heart.
constexpr std::pair<std::string_view, std::string_view> kIrregular[] = {
    {"skies", "sky"},      {"sky", "sky"},         {"dying", "die"},        {"lying", "lie"},
    {"tying", "tie"},      {"news", "news"},       {"innings", "inning"},   {"inning", "inning"},
    {"outings", "outing"}, {"outing", "outing"},   {"cannings", "canning"}, {"canning", "canning"},
    {"howe", "howe"},      {"proceed", "proceed"}, {"exceed", "exceed"},    {"succeed", "succeed"},
};
}  // namespace

std::string porter_stem(std::string_view word) {
  for (const auto& [form, stem] : kIrregular) {
    if (form == word) return std::string(stem);
  }
  if (word.size() <= 2) return std::string(word);
  return step_5(step_4(step_3(step_2(step_1c(step_1b(step_1a(word)))))));
}

}  // namespace mneme::metric
