#include "core/model/next_token.h"

#include <cmath>
#include <map>

#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::model;

namespace {

/// How often each token is drawn in many draws.
std::map<std::int32_t, double> frequencies(const std::vector<float>& logits, const Sampling& sampling) {
  constexpr int kDraws = 20000;
  RandomStream random(3, "draws");
  std::map<std::int32_t, double> counts;
  for (int i = 0; i < kDraws; ++i) counts[draw(logits, sampling, random)] += 1.0 / kDraws;
  return counts;
}

const std::vector<float> kLogits = {std::log(0.1f), std::log(0.4f), std::log(0.2f), std::log(0.25f), std::log(0.05f)};

}  // namespace

TEST_CASE("tokens are drawn with their probabilities", "[next_token]") {
  const auto found = frequencies(kLogits, {});
  const std::vector<double> expected = {0.1, 0.4, 0.2, 0.25, 0.05};
  for (std::int32_t token = 0; token < 5; ++token)
    CHECK(found.at(token) == Approx(expected[static_cast<std::size_t>(token)]).margin(0.012));
}

TEST_CASE("temperature sharpens, top-k and top-p leave the likeliest", "[next_token]") {
  // Squared and renormalised: 0.01, 0.16, 0.04, 0.0625, 0.0025 of 0.275.
  CHECK(frequencies(kLogits, {.temperature = 0.5}).at(1) == Approx(0.16 / 0.275).margin(0.012));
  const auto two = frequencies(kLogits, {.top_k = 2});
  CHECK(two.size() == 2);
  CHECK(two.at(1) == Approx(0.4 / 0.65).margin(0.012));
  // 0.4 + 0.25 falls short of 0.7, 0.2 more reaches it.
  const auto most = frequencies(kLogits, {.top_p = 0.7});
  CHECK(most.size() == 3);
  CHECK(most.at(2) == Approx(0.2 / 0.85).margin(0.012));
  CHECK(frequencies(kLogits, {.top_p = 1e-9}).size() == 1);
  CHECK(frequencies(kLogits, {.top_k = 3, .top_p = 0.5}).size() == 2);
}

TEST_CASE("equally likely tokens at the border of top-k all stay", "[next_token]") {
  CHECK(frequencies({1, 0, 0, -1}, {.top_k = 2}).size() == 3);
}

TEST_CASE("a repeated token loses once, whatever its sign", "[next_token]") {
  std::vector<float> scores = {2, -2, 3, 0};
  penalise_repetition(scores, std::vector<std::int32_t>{0, 1, 0, 3}, 2);
  CHECK(scores == std::vector<float>{1, -4, 3, 0});
  CHECK(likeliest(scores) == 2);
  CHECK(likeliest(std::vector<float>{1, 5, 5}) == 1);
}
