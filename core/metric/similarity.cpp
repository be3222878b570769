#include <cmath>
#include <unordered_map>

#include "core/base/unicode.h"
#include "core/metric/scoring.h"

// Source: Ratcliff and Obershelp's pattern matching as Python's difflib documents it, with its "popular" heuristic: in
// a second text of 200 characters or more, a character that makes up more than 1 % of it starts no match.
namespace mneme::metric {

namespace {
struct Match {
  std::size_t a, b, size;
};

class Matcher {
 public:
  Matcher(std::u32string a, std::u32string b)
      : a_(std::move(a)), b_(std::move(b)), run_(b_.size() + 1), next_(b_.size() + 1) {
    for (std::size_t j = 0; j < b_.size(); ++j) positions_[b_[j]].push_back(j);
    constexpr std::size_t kLong = 200;
    if (b_.size() >= kLong)
      std::erase_if(positions_, [&](const auto& entry) { return entry.second.size() > b_.size() / 100 + 1; });
  }

  /// 2 M / (|a| + |b|) with M the characters in matching blocks; 1 for two empty texts.
  double ratio() {
    if (a_.empty() && b_.empty()) return 1;
    struct Range {
      std::size_t a_begin, a_end, b_begin, b_end;
    };
    std::size_t matches = 0;
    std::vector<Range> open{{0, a_.size(), 0, b_.size()}};
    while (!open.empty()) {
      const Range range = open.back();
      open.pop_back();
      const Match match = longest(range.a_begin, range.a_end, range.b_begin, range.b_end);
      if (match.size == 0) continue;
      matches += match.size;
      open.push_back({range.a_begin, match.a, range.b_begin, match.b});
      open.push_back({match.a + match.size, range.a_end, match.b + match.size, range.b_end});
    }
    return 2.0 * static_cast<double>(matches) / static_cast<double>(a_.size() + b_.size());
  }

 private:
  /// The longest block that both ranges have, the first such in a and then in b.
  Match longest(std::size_t a_begin, std::size_t a_end, std::size_t b_begin, std::size_t b_end) {
    Match best{a_begin, b_begin, 0};
    // run_[j + 1] is the length of the match that ends at the previous character of a and at j of b.
    std::vector<std::size_t> touched;
    for (std::size_t i = a_begin; i < a_end; ++i) {
      std::vector<std::size_t> now;
      if (const auto entry = positions_.find(a_[i]); entry != positions_.end()) {
        const auto& at = entry->second;
        for (auto j = std::lower_bound(at.begin(), at.end(), b_begin); j != at.end() && *j < b_end; ++j) {
          const std::size_t length = run_[*j] + 1;
          next_[*j + 1] = length;
          now.push_back(*j + 1);
          if (length > best.size) best = {i + 1 - length, *j + 1 - length, length};
        }
      }
      for (const std::size_t j : touched) run_[j] = 0;
      for (const std::size_t j : now) run_[j] = next_[j];
      touched.swap(now);
    }
    for (const std::size_t j : touched) run_[j] = 0;
    while (best.a > a_begin && best.b > b_begin && a_[best.a - 1] == b_[best.b - 1]) --best.a, --best.b, ++best.size;
    while (best.a + best.size < a_end && best.b + best.size < b_end && a_[best.a + best.size] == b_[best.b + best.size])
      ++best.size;
    return best;
  }

  std::u32string a_, b_;
  std::unordered_map<char32_t, std::vector<std::size_t>> positions_;  ///< in b, ascending
  std::vector<std::size_t> run_, next_;
};

double ratio(const std::string& prediction, const std::string& reference) {
  return Matcher(decode_utf8(prediction), decode_utf8(reference)).ratio();
}
}  // namespace

Score similarity(std::span<const Sample> samples) { return score_best(samples, ratio); }

Score similarity_fuzz(std::span<const Sample> samples) {
  return score_best(samples, [](const auto& prediction, const auto& reference) {
    if (prediction.empty() || reference.empty()) return 0.0;
    return std::nearbyint(100 * ratio(prediction, reference)) / 100;
  });
}

}  // namespace mneme::metric
