#include <charconv>
#include <cmath>
#include <map>
#include <optional>

#include "core/base/error.h"
#include "core/base/unicode.h"
#include "core/metric/scoring.h"

namespace mneme::metric {

namespace {
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_alphanumeric(char c) { return is_digit(c) || is_lower(c) || (c >= 'A' && c <= 'Z'); }
bool is_option(char c) { return c >= 'A' && c <= 'D'; }
bool is_ascii_punctuation(char c) { return c > 32 && c < 127 && !is_alphanumeric(c); }

/// The option that an answer names, 0 if none: the first of A to D that is no part of a word or number (no ASCII
/// letter, digit, apostrophe or combining byte beside it makes it one; a Chinese neighbour does not). An "A" behind the
/// first word that a blank and a lower-case letter follow is the English article and is passed over.
char option_letter(std::string_view answer) {
  const std::string_view text = strip(answer);
  bool seen_word = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i], before = i > 0 ? text[i - 1] : ' ', after = i + 1 < text.size() ? text[i + 1] : ' ';
    const bool alone = !is_alphanumeric(before) && before != '\'' && !is_alphanumeric(after) && after != '\'';
    if (is_option(c) && alone) {
      const bool article = c == 'A' && seen_word && after == ' ' && i + 2 < text.size() && is_lower(text[i + 2]);
      if (!article) return c;
    }
    seen_word = seen_word || is_alphanumeric(c);
  }
  return 0;
}

/// As O-LoRA and SAPT: lower case, no ASCII punctuation, single blanks.
std::string normalise(std::string_view text) {
  std::string lower = to_lower(text);
  std::erase_if(lower, is_ascii_punctuation);
  std::string out;
  for (const std::string& word : split_whitespace(lower)) {
    if (!out.empty()) out += ' ';
    out += word;
  }
  return out;
}

struct Number {
  double value;
  std::size_t begin, end;
};

/// The number that starts at i, if one does: sign, digits (thousands may have commas), fraction.
std::optional<Number> number_at(std::string_view text, std::size_t i) {
  const std::size_t begin = i;
  if (text[i] == '-' || text[i] == '+') ++i;
  std::string digits;
  const auto take_digits = [&] {
    const std::size_t first = i;
    while (i < text.size() && is_digit(text[i])) digits += text[i++];
    return i - first;
  };
  const std::size_t leading = take_digits();
  const auto group_follows = [&] {
    if (i + 3 >= text.size() || text[i] != ',') return false;
    const bool three = is_digit(text[i + 1]) && is_digit(text[i + 2]) && is_digit(text[i + 3]);
    return three && (i + 4 >= text.size() || !is_digit(text[i + 4]));
  };
  while (leading >= 1 && leading <= 3 && group_follows()) {
    ++i;
    take_digits();
  }
  if (i + 1 < text.size() && text[i] == '.' && is_digit(text[i + 1])) {
    digits += text[i++];
    take_digits();
  }
  if (digits.empty()) return std::nullopt;
  double value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return Number{text[begin] == '-' ? -value : value, begin, i};
}

/// The first number; a sign counts only where nothing alphanumeric stands before it ("5-3" begins with 5).
std::optional<Number> first_number(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool sign = text[i] == '-' || text[i] == '+';
    if (sign && i > 0 && is_alphanumeric(text[i - 1])) continue;
    if (!sign && text[i] != '.' && !is_digit(text[i])) continue;
    if (const auto number = number_at(text, i)) return number;
  }
  return std::nullopt;
}

/// The first \d+\.?\d* as text, "" if none.
std::string_view llmcl_number(std::string_view text) {
  std::size_t begin = 0;
  while (begin < text.size() && !is_digit(text[begin])) ++begin;
  std::size_t end = begin;
  while (end < text.size() && is_digit(text[end])) ++end;
  if (end > begin && end < text.size() && text[end] == '.') ++end;
  while (end > begin && end < text.size() && is_digit(text[end])) ++end;
  return text.substr(begin, end - begin);
}

bool same_number(std::string_view prediction, std::string_view reference) {
  const std::string_view gold_text = strip(reference);
  const auto gold = first_number(gold_text);
  if (!gold || gold->begin != 0 || gold->end != gold_text.size()) return normalise(prediction) == normalise(reference);
  const auto found = first_number(prediction);
  constexpr double kRelative = 1e-6;
  return found &&
         std::abs(found->value - gold->value) <= kRelative * std::max(std::abs(found->value), std::abs(gold->value));
}

/// First of A to D anywhere, "" if none.
std::string_view llmcl_letter(std::string_view text) {
  const std::size_t at = text.find_first_of("ABCD");
  return at == std::string_view::npos ? std::string_view{} : text.substr(at, 1);
}

/// Equal and not empty: LLMCL's and TRACE's scripts leave pairs with an empty side without a point.
bool equal_and_some(std::string_view a, std::string_view b) { return !a.empty() && a == b; }

std::u32string first_character(std::string_view text) { return decode_utf8(text).substr(0, 1); }
}  // namespace

Score accuracy(std::span<const Sample> samples) {
  return score_best(
      samples, [](const auto& prediction, const auto& reference) { return strip(prediction) == strip(reference); });
}

Score accuracy_trace(std::span<const Sample> samples) {
  return score_best(
      samples, [](const auto& prediction, const auto& reference) { return equal_and_some(prediction, reference); });
}

Score accuracy_first_letter(std::span<const Sample> samples) {
  return score_best(samples, [](const auto& prediction, const auto& reference) {
    const char gold = option_letter(reference);
    if (gold == 0)
      throw DataError(
          fmt::format("metric accuracy.first_letter: the reference '{}' names none of A, B, C and D; "
                      "score such answers with accuracy or exact_match",
                      reference));
    return option_letter(prediction) == gold;
  });
}

Score accuracy_first_letter_llmcl(std::span<const Sample> samples) {
  return score_best(samples, [](const auto& prediction, const auto& reference) {
    return equal_and_some(llmcl_letter(prediction), llmcl_letter(reference));
  });
}

Score accuracy_first_char_llmcl(std::span<const Sample> samples) {
  return score_best(samples, [](const auto& prediction, const auto& reference) {
    const std::string_view a = prediction, b = reference;
    return equal_and_some(llmcl_letter(a.substr(0, 1)), llmcl_letter(b.substr(0, 1)));
  });
}

Score accuracy_first_char_trace(std::span<const Sample> samples) {
  return score_best(samples, [](const auto& prediction, const auto& reference) {
    return !prediction.empty() && first_character(prediction) == first_character(reference);
  });
}

Score exact_match(std::span<const Sample> samples) {
  return score_best(samples, [](const auto& prediction, const auto& reference) {
    return normalise(prediction) == normalise(reference);
  });
}

Score exact_match_lower(std::span<const Sample> samples) {
  return score_best(samples, [](const auto& prediction, const auto& reference) {
    return to_lower(strip(prediction)) == to_lower(strip(reference));
  });
}

Score exact_match_number(std::span<const Sample> samples) { return score_best(samples, same_number); }

Score exact_match_number_llmcl(std::span<const Sample> samples) {
  return score_best(samples, [](const auto& prediction, const auto& reference) {
    return equal_and_some(llmcl_number(prediction), llmcl_number(reference));
  });
}

Score joint_goal_accuracy(std::span<const Sample> samples) {
  Score score = exact_match_lower(samples);
  std::map<std::string_view, bool> right;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    if (samples[i].group.empty())
      throw DataError(fmt::format("metric jga: sample {} has no group; expected \"dialogue|turn\" on every row", i));
    const bool row_right = score.per_example[i] == 1;
    const auto [entry, added] = right.emplace(samples[i].group, row_right);
    if (!added) entry->second = entry->second && row_right;
  }
  double count = 0;
  for (const auto& [group, all_right] : right) count += all_right;
  score.value = count / static_cast<double>(right.size());
  return score;
}

}  // namespace mneme::metric
