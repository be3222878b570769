#include "core/strategy/importance.h"

#include <ATen/ATen.h>

#include <cmath>
#include <vector>

#include "core/base/error.h"
#include "core/base/random.h"
#include "tests/support/catch.h"

using namespace mneme;
using Catch::Contains;

namespace {
struct Tape {
  std::vector<at::Tensor> values, gradients;  // float64 [n] each
};

Tape tape(std::int64_t steps, std::int64_t n) {
  RandomStream rng(7, "tests/importance");
  const auto draw = [&] {
    at::Tensor x = at::empty({n}, at::kDouble);
    for (std::int64_t i = 0; i < n; ++i) x[i] = rng.uniform() * 2 - 1;
    return x;
  };
  Tape made;
  for (std::int64_t t = 0; t < steps; ++t) {
    made.values.push_back(draw());
    made.gradients.push_back(draw());
  }
  return made;
}

double score(ImportanceKind kind, double w, double g) {
  if (kind == ImportanceKind::kFirstOrder) return std::abs(w * g);
  return kind == ImportanceKind::kSquared ? w * g * w * g : std::abs(w * g - 0.5 * w * g * w * g);
}

/// S_T · U_T of one parameter as explicit weighted sums over the whole tape.
double by_sums(const Tape& tape, std::int64_t i, const ImportanceOptions& options) {
  std::vector<double> scores;
  for (std::size_t t = 0; t < tape.values.size(); ++t)
    scores.push_back(score(options.kind, tape.values[t][i].item<double>(), tape.gradients[t][i].item<double>()));
  const auto smoothed = [](const std::vector<double>& x, double decay, std::size_t last) {
    double sum = 0;
    for (std::size_t t = 0; t <= last; ++t) sum += (1 - decay) * std::pow(decay, static_cast<double>(last - t)) * x[t];
    return sum;
  };
  std::vector<double> deviations;
  for (std::size_t t = 0; t < scores.size(); ++t)
    deviations.push_back(std::abs(scores[t] - smoothed(scores, options.sensitivity_decay, t)));
  return smoothed(scores, options.sensitivity_decay, scores.size() - 1) *
         smoothed(deviations, options.uncertainty_decay, scores.size() - 1);
}
}  // namespace

TEST_CASE("smoothed importances are the explicit weighted sums over the steps", "[importance]") {
  const Tape steps = tape(25, 12);
  for (const auto kind : {ImportanceKind::kFirstOrder, ImportanceKind::kSecondOrder, ImportanceKind::kSquared}) {
    const ImportanceOptions options{kind, 0.85, 0.7};
    ImportanceTracker wide(options), narrow(options);
    for (std::size_t t = 0; t < steps.values.size(); ++t) {
      wide.update(steps.values[t], steps.gradients[t]);
      narrow.update(steps.values[t].to(at::kFloat), steps.gradients[t].to(at::kFloat));
    }
    for (std::int64_t i = 0; i < 12; ++i) {
      const double expected = by_sums(steps, i, options);
      CHECK(wide.importance()[i].item<double>() == Approx(expected).epsilon(1e-12));
      CHECK(narrow.importance()[i].item<double>() == Approx(expected).epsilon(2e-6));
    }
  }
}

TEST_CASE("long vectors are scored as short ones", "[importance]") {
  // Longer than the blocks that an update is cut into.
  const at::Tensor values = at::linspace(-1, 1, 40000), gradient = at::linspace(0.5, -2, 40000);
  ImportanceTracker whole({}), last({});
  for (int t = 0; t < 3; ++t) {
    whole.update(values, gradient / (t + 1));
    last.update(values.narrow(0, 39990, 10), gradient.narrow(0, 39990, 10) / (t + 1));
  }
  CHECK(at::allclose(whole.importance().narrow(0, 39990, 10), last.importance(), 1e-6, 0));
}

TEST_CASE("first-order importances grow with the square of the loss's scale, others do not", "[importance]") {
  const Tape steps = tape(9, 6);
  const auto ratio = [&](ImportanceKind kind) {
    ImportanceTracker once({kind, 0.85, 0.85}), scaled({kind, 0.85, 0.85});
    for (std::size_t t = 0; t < steps.values.size(); ++t) {
      once.update(steps.values[t], steps.gradients[t]);
      scaled.update(steps.values[t], steps.gradients[t] * 3);
    }
    return scaled.importance() / once.importance();
  };
  CHECK(at::allclose(ratio(ImportanceKind::kFirstOrder), at::full({6}, 9.0, at::kDouble), 1e-12));
  CHECK_FALSE(at::allclose(ratio(ImportanceKind::kSecondOrder), at::full({6}, 9.0, at::kDouble), 1e-3));
}

TEST_CASE("a tracker forgets on reset and refuses another number of parameters", "[importance]") {
  ImportanceTracker tracker({});
  CHECK_FALSE(tracker.importance().defined());
  tracker.update(at::ones({4}), at::ones({4}));
  CHECK_THROWS_WITH(tracker.update(at::ones({5}), at::ones({5})),
                    Contains("importances of 4 parameters") && Contains("reset()"));
  tracker.reset();
  CHECK_FALSE(tracker.importance().defined());
  tracker.update(at::ones({5}), at::ones({5}));
  CHECK(tracker.importance().numel() == 5);
}
