#include "core/train/optimizer.h"

#include <ATen/ATen.h>

#include <cmath>

#include "core/base/error.h"
#include "core/base/random.h"
#include "tests/core/train/recorded.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"

using namespace mneme;

namespace {
at::Tensor vector_of(const nlohmann::json& values) {
  const auto numbers = values.get<std::vector<double>>();
  return at::tensor(numbers, at::kDouble).to(at::kFloat);
}

at::Tensor normal(std::int64_t size, RandomStream& rng, double scale = 1) {
  at::Tensor made = at::empty({size}, at::kFloat);
  for (std::int64_t i = 0; i < size; ++i) made.data_ptr<float>()[i] = static_cast<float>(scale * rng.normal());
  return made;
}

double largest_gap(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

/// Loshchilov and Hutter 2019, algorithm 2, in double.
struct Textbook {
  std::vector<double> theta, m, v;
  std::int64_t t = 0;

  explicit Textbook(const at::Tensor& start) : m(static_cast<std::size_t>(start.numel())), v(m.size()) {
    for (std::int64_t i = 0; i < start.numel(); ++i) theta.push_back(start[i].item<double>());
  }
  void step(const at::Tensor& gradient, double rate, double decay, const TrainOptions& o) {
    ++t;
    for (std::size_t i = 0; i < theta.size(); ++i) {
      const double g = gradient[static_cast<std::int64_t>(i)].item<double>();
      m[i] = o.beta1 * m[i] + (1 - o.beta1) * g;
      v[i] = o.beta2 * v[i] + (1 - o.beta2) * g * g;
      const double m_hat = m[i] / (1 - std::pow(o.beta1, t)), v_hat = v[i] / (1 - std::pow(o.beta2, t));
      theta[i] -= rate * (m_hat / (std::sqrt(v_hat) + o.epsilon) + decay * theta[i]);
    }
  }
  at::Tensor values() const { return at::tensor(theta, at::kDouble); }
};
}  // namespace

TEST_CASE("AdamW is the textbook recursion", "[train]") {
  TrainOptions options;
  RandomStream rng(1, "adamw");
  at::Tensor values = normal(257, rng);
  Textbook expected(values);
  AdamW optimizer(options);
  optimizer.reset(values.numel());
  for (int step = 0; step < 30; ++step) {
    at::Tensor gradient = normal(257, rng, std::pow(10.0, step % 5 - 3));
    const double rate = 0.01 * (1 + step % 3);
    optimizer.step(values, gradient, rate, {{0, 257, 1, 0.05}});
    expected.step(gradient, rate, 0.05, options);
    CHECK(largest_gap(values, expected.values()) < 2e-6);
  }
}

TEST_CASE("AdamW with groups makes the steps of torch.optim.AdamW", "[train][parity]") {
  const nlohmann::json peer = test::recorded()["adamw"];
  TrainOptions options;
  options.beta1 = peer["beta1"];
  options.beta2 = peer["beta2"];
  options.epsilon = peer["epsilon"];
  std::vector<OptimizerSegment> segments;
  for (const auto& group : peer["groups"])
    segments.push_back({group["offset"], group["size"], group["scale"], group["weight_decay"]});
  at::Tensor values = vector_of(peer["start"]);
  AdamW optimizer(options);
  optimizer.reset(values.numel());
  REQUIRE(peer["gradients"].size() == 12);
  for (std::size_t step = 0; step < peer["gradients"].size(); ++step) {
    at::Tensor gradient = vector_of(peer["gradients"][step]);
    optimizer.step(values, gradient, peer["learning_rate"], segments);
    CHECK(largest_gap(values, vector_of(peer["values"][step])) < 1e-6);
  }
}

TEST_CASE("a group of scale 0 stays as it is, bit for bit, whatever its gradient and decay", "[train]") {
  TrainOptions options;
  RandomStream rng(2, "frozen");
  at::Tensor values = normal(12, rng), alone = values.narrow(0, 4, 8).clone();
  const at::Tensor start = values.clone();
  AdamW optimizer(options), other(options);
  optimizer.reset(12);
  other.reset(8);
  for (int step = 0; step < 5; ++step) {
    at::Tensor gradient = normal(12, rng);
    at::Tensor part = gradient.narrow(0, 4, 8).clone();
    if (step == 2) gradient[1] = std::numeric_limits<float>::infinity();
    optimizer.step(values, gradient, 0.1, {{0, 4, 0, 0.5}, {4, 8, 1, 0.01}});
    other.step(alone, part, 0.1, {{0, 8, 1, 0.01}});
  }
  CHECK(at::equal(values.narrow(0, 0, 4), start.narrow(0, 0, 4)));
  CHECK_FALSE(at::equal(values.narrow(0, 4, 8), start.narrow(0, 4, 8)));
  // What is not frozen does not notice.
  CHECK(largest_gap(values.narrow(0, 4, 8), alone) < 1e-6);
}

TEST_CASE("a step leaves the gradient alone, and decay without gradient is geometric", "[train]") {
  TrainOptions options;
  RandomStream rng(3, "decay");
  at::Tensor values = normal(6, rng), gradient = at::zeros({6});
  const at::Tensor start = values.clone();
  AdamW optimizer(options);
  optimizer.reset(6);
  for (int step = 0; step < 3; ++step) optimizer.step(values, gradient, 0.1, {{0, 6, 1, 0.5}});
  CHECK(largest_gap(values, start * std::pow(1 - 0.1 * 0.5, 3)) < 1e-6);
  CHECK(at::equal(gradient, at::zeros({6})));
}

TEST_CASE("an optimiser saved and loaded makes the same next step; reset starts anew", "[train]") {
  const test::TemporaryDirectory directory("optimizer");
  RandomStream rng(4, "state");
  at::Tensor values = normal(9, rng), gradient = normal(9, rng);
  AdamW optimizer({});
  optimizer.reset(9);
  for (int step = 0; step < 3; ++step) optimizer.step(values, gradient, 0.1, {{0, 9, 1, 0}});
  StateSaver saver;
  saver.object("optimizer", optimizer);
  saver.write(directory / "state");
  AdamW loaded({}), fresh({});
  StateLoader loader(directory / "state");
  loader.object("optimizer", loaded);
  CHECK(loaded.size() == 9);
  at::Tensor go_on = values.clone(), anew = values.clone(), first = values.clone();
  gradient = normal(9, rng);
  optimizer.step(values, gradient, 0.1, {{0, 9, 1, 0}});
  loaded.step(go_on, gradient, 0.1, {{0, 9, 1, 0}});
  CHECK(at::equal(values, go_on));
  loaded.reset(9);
  loaded.step(anew, gradient, 0.1, {{0, 9, 1, 0}});
  fresh.reset(9);
  fresh.step(first, gradient, 0.1, {{0, 9, 1, 0}});
  CHECK(at::equal(anew, first));
  CHECK(largest_gap(first, go_on) > 1e-3);
}

TEST_CASE("moments of another size than the parameters are refused", "[train]") {
  AdamW optimizer({});
  CHECK(optimizer.size() == 0);
  optimizer.reset(4);
  at::Tensor values = at::zeros({5}), gradient = at::zeros({5});
  CHECK_THROWS_WITH(optimizer.step(values, gradient, 0.1, {}),
                    Catch::Contains("moments of 4") && Catch::Contains("5 values"));
}

TEST_CASE("clipping scales like torch's clip_grad_norm_", "[train][parity]") {
  const nlohmann::json cases = test::recorded()["clipping"];
  REQUIRE(cases.size() == 3);
  for (const auto& c : cases) {
    at::Tensor gradient = vector_of(c["gradient"]);
    CHECK(clip_gradient(gradient, c["limit"]) == Approx(c["norm"].get<double>()).epsilon(1e-6));
    CHECK(largest_gap(gradient, vector_of(c["clipped"])) < 1e-6);
  }
}

TEST_CASE("clipping by hand: 3-4-5", "[train]") {
  at::Tensor gradient = at::tensor({3.0F, -4.0F});
  CHECK(clip_gradient(gradient, 0) == Approx(5));
  CHECK(at::equal(gradient, at::tensor({3.0F, -4.0F})));
  CHECK(clip_gradient(gradient, 5.5) == Approx(5));
  CHECK(at::equal(gradient, at::tensor({3.0F, -4.0F})));
  CHECK(clip_gradient(gradient, 1) == Approx(5));
  CHECK(largest_gap(gradient, at::tensor({0.6F, -0.8F})) < 1e-6);
  gradient[0] = std::numeric_limits<float>::quiet_NaN();
  CHECK(std::isnan(clip_gradient(gradient, 1)));
}
