#include "core/base/suggest.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace mneme {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), previous(b.size() + 1), current(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) previous[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    current[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t cost = a[i - 1] == b[j - 1] ? 0 : 1;
      current[j] = std::min({previous[j] + 1, current[j - 1] + 1, previous[j - 1] + cost});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        current[j] = std::min(current[j], before[j - 2] + 1);
    }
    std::swap(before, previous);
    std::swap(previous, current);
  }
  return previous[b.size()];
}

namespace {

/// Length of the groups ("train.") that both begin with.
std::size_t shared_groups(std::string_view a, std::string_view b) {
  const std::size_t same = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
  return a.substr(0, same).rfind('.') + 1;  // npos + 1 is 0
}

/// First letters of the words of the last part of a key: "lr" of "train.learning_rate".
std::string initials(std::string_view key) {
  std::string letters;
  for (std::size_t i = key.rfind('.') + 1; i < key.size(); ++i)
    if (letters.empty() || key[i - 1] == '_') letters += key[i];
  return letters;
}

}  // namespace

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  constexpr std::size_t kLongest = 200;  // a longer word is no slip of the pen, and the distance is quadratic
  if (word.size() > kLongest) return "";
  std::string best, abbreviated;
  std::size_t best_distance = word.size() + 2, abbreviations = 0;
  for (const auto& candidate : candidates) {
    if (candidate.size() > kLongest) continue;
    const std::size_t shared = shared_groups(word, candidate);
    const std::string_view rest = word.substr(shared);
    const std::size_t distance = edit_distance(rest, std::string_view(candidate).substr(shared));
    if (distance <= 1 + rest.size() / 4 && distance < best_distance) best = candidate, best_distance = distance;
    if (shared == word.rfind('.') + 1 && rest.size() > 1 && initials(candidate) == rest)
      abbreviated = candidate, ++abbreviations;
  }
  return best.empty() && abbreviations == 1 ? abbreviated : best;
}

std::string hint(std::string_view word, const std::vector<std::string>& candidates) {
  if (const std::string near = nearest(word, candidates); !near.empty())
    return fmt::format("; did you mean '{}'?", near);
  return candidates.empty() ? "" : fmt::format("; known: {}", fmt::join(candidates, ", "));
}

}  // namespace mneme
