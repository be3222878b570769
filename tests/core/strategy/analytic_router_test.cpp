#include "core/strategy/analytic_router.h"

#include <ATen/ATen.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <numeric>

#include "core/base/error.h"
#include "core/strategy/prototype_router.h"
#include "tests/support/catch.h"

using namespace mneme;

namespace {
constexpr std::int64_t kInputs = 12;

at::Tensor normals(std::int64_t rows, std::int64_t columns, RandomStream& rng) {
  at::Tensor out = at::empty({rows, columns}, at::kDouble);
  for (std::int64_t i = 0; i < out.numel(); ++i) out.data_ptr<double>()[i] = rng.normal();
  return out;
}

/// Rows of some classes around centres of their own; sizes differ from class to class.
std::vector<at::Tensor> classes(std::int64_t count, std::int64_t rows = 20) {
  RandomStream rng(3, "router/classes");
  std::vector<at::Tensor> all;
  for (std::int64_t k = 0; k < count; ++k)
    all.push_back(normals(rows + 7 * k, kInputs, rng) * 0.4 + normals(1, kInputs, rng));
  return all;
}

/// (XᵀX + lambda I)⁻¹ XᵀY by LibTorch's dense solver, columns by class.
at::Tensor joint_ridge(const std::vector<at::Tensor>& features, double lambda) {
  const at::Tensor x = at::cat(features);
  at::Tensor y = at::zeros({x.size(0), static_cast<std::int64_t>(features.size())}, at::kDouble);
  std::int64_t row = 0;
  for (std::size_t k = 0; k < features.size(); ++k) {
    y.narrow(0, row, features[k].size(0)).select(1, static_cast<std::int64_t>(k)).fill_(1);
    row += features[k].size(0);
  }
  return at::linalg_solve(x.t().mm(x) + lambda * at::eye(x.size(1), at::kDouble), x.t().mm(y));
}

double relative_error(const at::Tensor& found, const at::Tensor& expected) {
  return ((found - expected).abs().max() / expected.abs().max()).item<double>();
}

AnalyticRouter router_of(const AnalyticRouterOptions& options) {
  return AnalyticRouter(options, RandomStream(5, "router/map"));
}
}  // namespace

TEST_CASE("sequential fits equal joint ridge in any order, any blocks and both forms", "[router]") {
  const auto data = classes(4);
  for (const char* map : {"linear", "random_linear", "random_relu"}) {
    for (const double lambda : {100.0, 1.0, 0.01}) {
      AnalyticRouterOptions options{.features = map, .width = 40, .lambda = lambda};
      AnalyticRouter reference = router_of(options);
      std::vector<at::Tensor> features;
      for (const auto& z : data) features.push_back(reference.features(z));
      const at::Tensor joint = joint_ridge(features, lambda);
      for (const bool recursive : {false, true}) {
        for (const std::int64_t block : {1, 9, 256}) {
          for (const auto& order : {std::vector<std::int64_t>{0, 1, 2, 3}, {2, 0, 3, 1}}) {
            INFO(map << ", lambda " << lambda << (recursive ? ", recursive" : ", accumulated") << ", block " << block);
            options.recursive = recursive;
            options.block = block;
            AnalyticRouter router = router_of(options);
            for (const std::int64_t k : order) router.learn(k, data[static_cast<std::size_t>(k)]);
            REQUIRE(router.labels() == order);
            const at::Tensor columns = joint.index_select(1, at::tensor(order, at::kLong));
            CHECK(relative_error(router.weights(), columns) < 1e-8);
          }
        }
      }
    }
  }
}

TEST_CASE("a class may come back, its rows cut anywhere", "[router]") {
  const auto data = classes(2);
  for (const bool recursive : {false, true}) {
    AnalyticRouter router = router_of({.lambda = 1, .recursive = recursive});
    router.learn(0, data[0].narrow(0, 0, 5));
    router.learn(1, data[1]);
    router.learn(0, data[0].narrow(0, 5, data[0].size(0) - 5));
    CHECK(relative_error(router.weights(), joint_ridge({data[0], data[1]}, 1)) < 1e-8);
  }
}

TEST_CASE("the recursive form holds the inverse of the regularised Gram matrix", "[router]") {
  const auto data = classes(3);
  AnalyticRouter accumulated = router_of({.lambda = 2}), recursive = router_of({.lambda = 2, .recursive = true});
  for (std::size_t k = 0; k < data.size(); ++k) {
    accumulated.learn(static_cast<std::int64_t>(k), data[k]);
    recursive.learn(static_cast<std::int64_t>(k), data[k]);
  }
  const at::Tensor identity = at::eye(kInputs, at::kDouble);
  const at::Tensor product = recursive.system().dense().mm(accumulated.system().dense() + 2 * identity);
  CHECK((product - identity).abs().max().item<double>() < 1e-8);
}

TEST_CASE("a class without rows has weights of exactly zero and moves no other", "[router]") {
  const auto data = classes(2);
  for (const bool recursive : {false, true}) {
    AnalyticRouter router = router_of({.lambda = 1, .recursive = recursive});
    router.learn(0, data[0]);
    router.learn(1, data[1]);
    const at::Tensor before = router.weights().clone();
    router.learn(2, at::zeros({0, kInputs}, at::kDouble));
    CHECK(router.weights().select(1, 2).abs().max().item<double>() == 0);
    CHECK(at::equal(router.weights().narrow(1, 0, 2), before));
  }
}

TEST_CASE("balanced rows weigh each class as if it had a thousand", "[router]") {
  RandomStream rng(7, "router/balance");
  const std::vector<at::Tensor> data = {normals(10, kInputs, rng), normals(400, kInputs, rng) + 0.3};
  std::vector<at::Tensor> weighted;
  at::Tensor moments = at::zeros({kInputs, 2}, at::kDouble), gram = at::eye(kInputs, at::kDouble) * 3;
  for (std::size_t k = 0; k < 2; ++k) {
    const double w = 1000.0 / static_cast<double>(data[k].size(0));
    gram += w * data[k].t().mm(data[k]);
    moments.select(1, static_cast<std::int64_t>(k)) += w * data[k].sum(0);
  }
  const at::Tensor expected = at::linalg_solve(gram, moments);
  for (const bool recursive : {false, true}) {
    AnalyticRouter router = router_of({.lambda = 3, .balanced = true, .recursive = recursive, .block = 64});
    router.learn(0, data[0]);
    router.learn(1, data[1]);
    CHECK(relative_error(router.weights(), expected) < 1e-8);
  }
}

TEST_CASE("lambda 0 is refused where the Gram matrix is singular, and solves where it is not", "[router]") {
  const auto data = classes(2, 30);
  AnalyticRouter regular = router_of({.lambda = 0});
  regular.learn(0, data[0]);
  regular.learn(1, data[1]);
  CHECK(relative_error(regular.weights(), joint_ridge({data[0], data[1]}, 0)) < 1e-8);

  AnalyticRouter few = router_of({.lambda = 0});
  few.learn(0, data[0].narrow(0, 0, 1));  // a task with one example
  try {
    few.weights();
    FAIL("a singular system was solved");
  } catch (const Error& e) {
    CHECK_THAT(e.what(), Catch::Contains("not positive definite"));
    CHECK_THAT(e.what(), Catch::Contains("12 features with lambda 0"));
  }
  // More features than inputs are never independent without a nonlinearity.
  AnalyticRouter wide = router_of({.features = "random_linear", .width = 30, .lambda = 0});
  wide.learn(0, data[0]);
  CHECK_THROWS_AS(wide.weights(), Error);
  CHECK_THROWS_WITH(router_of({.lambda = 0, .recursive = true}), Catch::Contains("needs lambda > 0"));
}

TEST_CASE("a router that was loaded goes on as the one that was saved", "[router]") {
  const auto data = classes(3);
  const auto file = std::filesystem::temp_directory_path() / fmt::format("mneme-router-{}.safetensors", ::getpid());
  for (const bool recursive : {false, true}) {
    const AnalyticRouterOptions options{.features = "random_relu", .width = 24, .lambda = 1, .recursive = recursive};
    AnalyticRouter whole = router_of(options), first = router_of(options), second = router_of(options);
    for (AnalyticRouter* router : {&whole, &first}) {
      router->learn(4, data[0]);
      router->learn(9, data[1]);
    }
    StateSaver saver;
    saver.object("router", first);
    saver.write(file);
    StateLoader loader(file);
    loader.object("router", second);
    whole.learn(2, data[2]);
    second.learn(2, data[2]);
    CHECK(second.labels() == std::vector<std::int64_t>{4, 9, 2});
    CHECK(at::equal(second.weights(), whole.weights()));
  }
  std::filesystem::remove(file);
}

TEST_CASE("the fit remembers old classes where gradient descent on the same features forgets them", "[router]") {
  auto data = classes(4, 60);
  for (at::Tensor& z : data) z += 1.5;  // prompts have much in common
  AnalyticRouter router = router_of({.lambda = 1});
  at::Tensor trained = at::zeros({kInputs, 4}, at::kDouble);
  for (std::size_t k = 0; k < data.size(); ++k) {
    router.learn(static_cast<std::int64_t>(k), data[k]);
    for (int step = 0; step < 200; ++step) {
      at::Tensor error = at::softmax(data[k].mm(trained), 1);
      error.select(1, static_cast<std::int64_t>(k)) -= 1;
      trained -= 0.5 * data[k].t().mm(error) / static_cast<double>(data[k].size(0));
    }
  }
  const auto accuracy = [](const at::Tensor& chosen, std::int64_t k) {
    return (chosen == k).to(at::kDouble).mean().item<double>();
  };
  CHECK(accuracy(router.scores(data[0]).argmax(1), 0) > 0.95);
  CHECK(accuracy(data[0].mm(trained).argmax(1), 0) < 0.5);
}

TEST_CASE("prototypes with a shared covariance are linear discriminant analysis in any order", "[router]") {
  const auto data = classes(3);
  constexpr double kLambda = 0.5;
  at::Tensor scatter = at::zeros({kInputs, kInputs}, at::kDouble);
  double rows = 0;
  for (const auto& z : data) {
    scatter += (z - z.mean(0)).t().mm(z - z.mean(0));
    rows += static_cast<double>(z.size(0));
  }
  const at::Tensor covariance = scatter / rows + kLambda * at::eye(kInputs, at::kDouble);
  const at::Tensor z = data[1].narrow(0, 0, 4);
  for (const auto& order : {std::vector<std::int64_t>{0, 1, 2}, {2, 0, 1}}) {
    PrototypeRouter router(kLambda);
    for (const std::int64_t k : order) router.learn(k, data[static_cast<std::size_t>(k)]);
    const at::Tensor scores = router.scores(z);
    for (std::size_t c = 0; c < order.size(); ++c) {
      const at::Tensor mean = data[static_cast<std::size_t>(order[c])].mean(0);
      const at::Tensor direction = at::linalg_solve(covariance, mean);
      const at::Tensor expected = z.mv(direction) - 0.5 * mean.dot(direction);
      CHECK(relative_error(scores.select(1, static_cast<std::int64_t>(c)), expected) < 1e-10);
    }
  }
  PrototypeRouter twice(kLambda);
  twice.learn(1, data[0]);
  CHECK_THROWS_WITH(twice.learn(1, data[1]), Catch::Contains("all rows of a new class"));
  PrototypeRouter singular(0);
  singular.learn(1, data[0].narrow(0, 0, 1));
  CHECK_THROWS_WITH(singular.scores(z), Catch::Contains("not positive definite"));
}

TEST_CASE("a symmetric matrix of several blocks equals its dense form", "[router]") {
  constexpr std::int64_t kSize = 1100;
  RandomStream rng(11, "router/blocks");
  const at::Tensor x = normals(40, kSize, rng), b = normals(kSize, 3, rng);
  SymmetricMatrix a(kSize, 2);
  a.add_gram(x);
  const at::Tensor dense = x.t().mm(x) + 2 * at::eye(kSize, at::kDouble);
  CHECK(relative_error(a.dense(), dense) < 1e-13);
  CHECK(relative_error(a.product(x), x.mm(dense)) < 1e-13);
  CHECK(relative_error(CholeskyFactor(a, 1).solve(b), at::linalg_solve(dense + at::eye(kSize, at::kDouble), b)) <
        1e-10);
  StateSizer sizer;
  sizer.object("matrix", a);
  CHECK(sizer.bytes() < kSize * kSize * 8 * 3 / 4);
}
