// Units of parameters: partitions, scores, fusion, orthogonality.
#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "core/base/random.h"
#include "core/strategy/importance.h"
#include "core/strategy/orthogonality.h"
#include "core/strategy/unit_fusion.h"
#include "core/strategy/unit_partition.h"
#include "core/train/optimizer.h"
#include "tests/support/catch.h"

using namespace mneme;
using Catch::Contains;

namespace {
constexpr std::int64_t kRank = 4, kIn = 5, kOut = 3;

/// Two low-rank linears: A and B of each, in the bank's order within a group (factors A first).
std::vector<ParameterView> low_rank_views() {
  std::vector<ParameterView> views;
  std::int64_t offset = 0;
  const auto add = [&](std::string name, ParameterRole role, std::int64_t linear, std::vector<std::int64_t> shape) {
    views.push_back({std::move(name), 1, role, linear, std::move(shape), offset});
    offset += views.back().size();
  };
  add("q.lora_A", ParameterRole::kLoraA, 0, {kRank, kIn});
  add("v.lora_A", ParameterRole::kLoraA, 1, {kRank, kIn});
  add("q.lora_B", ParameterRole::kLoraB, 0, {kOut, kRank});
  add("v.lora_B", ParameterRole::kLoraB, 1, {kOut, kRank});
  return views;
}
constexpr std::int64_t kSize = 2 * kRank * (kIn + kOut);

at::Tensor random_vector(const std::string& name, std::int64_t n = kSize) {
  RandomStream rng(3, "tests/units/" + name);
  at::Tensor x = at::empty({n}, at::kDouble);
  for (std::int64_t i = 0; i < n; ++i) x[i] = 2 * rng.uniform() - 1;
  return x;
}

double at_index(const at::Tensor& x, std::int64_t i) { return x[i].item<double>(); }
}  // namespace

TEST_CASE("a unit by rank is a row of A with its column of B", "[units]") {
  const auto views = low_rank_views();
  const UnitPartition units = UnitPartition::by_rank(views);
  REQUIRE(units.size() == 2 * kRank);
  CHECK(units.inner_size() == kRank);
  const at::Tensor scores = random_vector("scores").abs();
  const at::Tensor products = units.products_of_means(scores), means = units.means(scores);
  for (std::int64_t linear = 0; linear < 2; ++linear)
    for (std::int64_t r = 0; r < kRank; ++r) {
      const auto l = static_cast<std::size_t>(linear);
      const at::Tensor row = views[l].of(scores)[r], column = views[2 + l].of(scores).select(1, r);
      const std::int64_t unit = linear * kRank + r;
      // The published score: the mean over the outer product.
      CHECK(at_index(products, unit) == Approx(at::outer(column, row).mean().item<double>()).epsilon(1e-12));
      CHECK(at_index(means, unit) == Approx((row.sum() + column.sum()).item<double>() / (kIn + kOut)).epsilon(1e-12));
    }
  const at::Tensor spread = units.spread(at::arange(2 * kRank, at::kDouble));
  CHECK(at::equal(views[1].of(spread)[2], at::full({kIn}, 6.0F)));
  CHECK(at::equal(views[2].of(spread).select(1, 3), at::full({kOut}, 3.0F)));
}

TEST_CASE("units of two ranks, and units by matrix", "[units]") {
  const auto views = low_rank_views();
  const UnitPartition pairs = UnitPartition::by_rank(views, 2);
  CHECK(pairs.size() == 4);
  const at::Tensor spread = pairs.spread(at::arange(4, at::kDouble));
  CHECK(at::equal(views[3].of(spread)[0], at::tensor({2.0F, 2.0F, 3.0F, 3.0F})));

  const UnitPartition matrices = UnitPartition::by_matrix(views);
  CHECK(matrices.size() == 4);
  CHECK(matrices.inner_size() == 1);
  const at::Tensor x = random_vector("values");
  CHECK(at_index(matrices.means(x), 2) == Approx(views[2].of(x).mean().item<double>()).epsilon(1e-12));
}

TEST_CASE("units that do not fit the parameters are refused with the reason", "[units]") {
  auto views = low_rank_views();
  CHECK_THROWS_WITH(UnitPartition::by_rank(views, 3),
                    Contains("units of 3 ranks do not divide the rank 4 of 'q.lora_A'"));
  CHECK_THROWS_WITH(UnitPartition::by_rank(views, 0), Contains("at least 1"));
  views[0].role = ParameterRole::kWeight;
  CHECK_THROWS_WITH(UnitPartition::by_rank(views),
                    Contains("'q.lora_A' is no low-rank factor") && Contains("units by matrix"));
}

TEST_CASE("importances are normalised over all units; equal ones count nothing", "[fusion]") {
  CHECK(at::allclose(min_max_normalised(at::tensor({1.0, 3.0, 2.0})), at::tensor({0.0, 1.0, 0.5}, at::kDouble)));
  CHECK(at::equal(min_max_normalised(at::full({3}, 0.7)), at::zeros({3}, at::kDouble)));
  // So both fusions become the plain average.
  const at::Tensor worth = min_max_normalised(at::zeros({5})), half = at::full({5}, 0.5, at::kDouble);
  CHECK(at::equal(hard_keep(worth, worth, {}), half));
  CHECK(at::equal(soft_keep(worth, worth, 0.25), half));
  at::Tensor values = at::tensor({1.0F, 2.0F, 3.0F, 4.0F, 5.0F});
  fuse(values, at::tensor({3.0F, 2.0F, 1.0F, 0.0F, -1.0F}), half.to(at::kFloat));
  CHECK(at::equal(values, at::full({5}, 2.0F)));
}

TEST_CASE("soft fusion is a softmax over the two worths", "[fusion]") {
  const at::Tensor one = at::ones({1}, at::kDouble), zero = at::zeros({1}, at::kDouble);
  CHECK(at_index(soft_keep(one, zero, 0.25), 0) == Approx(0.9820137900379085).epsilon(1e-14));
  CHECK(at_index(soft_keep(zero, one, 0.25), 0) == Approx(1 - 0.9820137900379085).epsilon(1e-12));
  CHECK(at_index(soft_keep(one, zero, 1e12), 0) == Approx(0.5).epsilon(1e-9));
  CHECK(at_index(soft_keep(one, zero, 1e-6), 0) == 1.0);
  CHECK(at_index(soft_keep(zero, one, 1e-6), 0) == 0.0);
  CHECK_THROWS_WITH(soft_keep(one, zero, 0), Contains("above 0"));
}

TEST_CASE("hard fusion keeps, takes or mixes by the top fifth of the units", "[fusion]") {
  // As numpy.quantile((0..9) / 9, 0.8) = 0.8: two units lie above.
  const at::Tensor worth = at::arange(10, at::kDouble) / 9;
  CHECK(at::quantile(worth, 0.8).item<double>() == Approx(0.8).epsilon(1e-12));
  const at::Tensor flipped = worth.flip(0);
  const at::Tensor keep = hard_keep(worth, flipped, {.quantile = 0.8, .shared_keep = 0.7, .neutral_keep = 0.4});
  CHECK(at::allclose(keep, at::tensor({0.0, 0.0, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 1.0, 1.0}, at::kDouble)));
  CHECK((hard_keep(worth, worth, {}) == 0.7).sum().item<std::int64_t>() == 2);
}

TEST_CASE("fusing equal values changes nothing, whatever is kept; 0 and 1 are exact", "[fusion]") {
  const at::Tensor old_values = random_vector("old").to(at::kFloat), fresh = random_vector("new").to(at::kFloat);
  for (const float keep : {0.0F, 0.1F, 0.3F, 0.5F, 0.7F, 0.98F, 1.0F}) {
    at::Tensor same = old_values.clone();
    fuse(same, old_values, at::full({kSize}, keep));
    CHECK(at::equal(same, old_values));
    at::Tensor fused = fresh.clone();
    fuse(fused, old_values, at::full({kSize}, keep));
    if (keep == 0.0F) CHECK(at::equal(fused, fresh));
    if (keep == 1.0F) CHECK(at::equal(fused, old_values));
    CHECK(at::allclose(fused, keep * old_values + (1 - keep) * fresh, 0, 4e-7));
  }
}

TEST_CASE("a loss on another scale is fused alike if importances are of first order, not of second", "[fusion]") {
  const UnitPartition units = UnitPartition::by_rank(low_rank_views());
  const auto keep = [&](ImportanceKind kind, double scale, bool hard) {
    std::vector<at::Tensor> worths;
    for (const std::string task : {"first", "second"}) {
      ImportanceTracker tracker({kind, 0.85, 0.85});
      for (int step = 0; step < 6; ++step)
        tracker.update(random_vector(fmt::format("{}/weights {}", task, step)),
                       scale * random_vector(fmt::format("{}/gradient {}", task, step)));
      worths.push_back(min_max_normalised(units.products_of_means(tracker.importance())));
    }
    return hard ? hard_keep(worths[0], worths[1], {}) : soft_keep(worths[0], worths[1], 0.25);
  };
  for (const bool hard : {false, true}) {
    const at::Tensor plain = keep(ImportanceKind::kFirstOrder, 1, hard);
    CHECK(std::get<0>(at::_unique(plain)).numel() > 1);
    CHECK(at::allclose(keep(ImportanceKind::kFirstOrder, 7, hard), plain, 1e-12, 1e-13));
  }
  CHECK_FALSE(at::allclose(keep(ImportanceKind::kSecondOrder, 7, false), keep(ImportanceKind::kSecondOrder, 1, false)));
}

TEST_CASE("the order of the ranks does not matter to the fused update", "[fusion]") {
  const auto views = low_rank_views();
  const UnitPartition units = UnitPartition::by_rank(views);
  const at::Tensor order = at::tensor({2, 0, 3, 1}, at::kLong);
  const auto permuted = [&](const at::Tensor& flat) {
    at::Tensor out = flat.clone();
    for (const auto& view : views) {
      const std::int64_t axis = view.role == ParameterRole::kLoraA ? 0 : 1;
      view.of(out).copy_(view.of(flat).index_select(axis, order));
    }
    return out;
  };
  const auto fused_update = [&](const auto& arrange) {
    at::Tensor values = arrange(random_vector("new"));
    const at::Tensor old_worth = min_max_normalised(units.products_of_means(arrange(random_vector("a").abs())));
    const at::Tensor worth = min_max_normalised(units.products_of_means(arrange(random_vector("b").abs())));
    fuse(values, arrange(random_vector("old")), units.spread(soft_keep(old_worth, worth, 0.25)).to(at::kDouble));
    return views[2].of(values).mm(views[0].of(values));
  };
  const at::Tensor straight = fused_update([](const at::Tensor&x) { return x; }), shuffled = fused_update(permuted);
  CHECK(at::allclose(straight, shuffled, 0, 1e-6 * straight.abs().max().item<double>()));
}

TEST_CASE("the orthogonality's gradient is that of finite differences", "[orthogonality]") {
  const auto views = low_rank_views();
  const at::Tensor flat = random_vector("orthogonality");
  const Orthogonality at_flat = orthogonality(views, flat);
  double by_hand = 0;
  for (const auto& view : views) {
    const at::Tensor x = view.role == ParameterRole::kLoraA ? view.of(flat) : view.of(flat).t();
    by_hand += (x.mm(x.t()) - at::eye(kRank, at::kDouble)).norm().item<double>() / 4;
  }
  CHECK(at_flat.value == Approx(by_hand).epsilon(1e-9));
  constexpr double kStep = 1e-6;
  for (std::int64_t i = 0; i < kSize; ++i) {
    at::Tensor up = flat.clone(), down = flat.clone();
    up[i] += kStep;
    down[i] -= kStep;
    const double slope = (orthogonality(views, up).value - orthogonality(views, down).value) / (2 * kStep);
    CHECK(at_index(at_flat.gradient, i) == Approx(slope).margin(1e-7));
  }
}

TEST_CASE("orthonormal ranks cost nothing and pull nowhere", "[orthogonality]") {
  std::vector<ParameterView> views = {{"lora_A", 1, ParameterRole::kLoraA, 0, {3, 4}, 0}};
  const at::Tensor flat = at::eye(3, 4, at::kDouble).flatten();
  CHECK(orthogonality(views, flat).value == Approx(1e-6));
  CHECK(orthogonality(views, flat).gradient.abs().max().item<double>() == 0);
  views[0].role = ParameterRole::kWeight;
  CHECK(orthogonality(views, at::ones({12})).value == 0);
}

namespace {
/// Ten units of two weights each; a task is a logistic regression on the weights of one unit. The second pulls faintly
/// on all the others, which an adaptive optimiser blows up: the drift that fusion by units shall undo.
struct TwoTasks {
  static constexpr std::int64_t kUnits = 10, kPoints = 200;

  static std::vector<ParameterView> views() {
    std::vector<ParameterView> all;
    for (std::int64_t u = 0; u < kUnits; ++u) all.push_back({"w", 1, ParameterRole::kWeight, u, {2}, 2 * u});
    return all;
  }
  static at::Tensor points() { return random_vector("points", 2 * kPoints).view({kPoints, 2}); }
  static at::Tensor labels(std::int64_t task) {
    const at::Tensor sums = points().sum(1);
    return (task == 1 ? sums > 0 : sums < 0).to(at::kDouble);
  }
  static at::Tensor weights(const at::Tensor& flat, std::int64_t task) { return flat.narrow(0, 2 * (task - 1), 2); }

  static double accuracy(const at::Tensor& flat, std::int64_t task) {
    const at::Tensor says = points().to(at::kFloat).mv(weights(flat, task)) > 0;
    return (says.to(at::kDouble) == labels(task)).to(at::kDouble).mean().item<double>();
  }
  static at::Tensor gradient(const at::Tensor& flat, std::int64_t task) {
    const at::Tensor x = points().to(at::kFloat);
    const at::Tensor error = at::sigmoid(x.mv(weights(flat, task))) - labels(task).to(at::kFloat);
    at::Tensor all = at::full_like(flat, task == 1 ? 0.0 : 1e-6);
    weights(all, task).copy_(x.t().mv(error) / static_cast<double>(kPoints));
    return all;
  }
  static at::Tensor train(at::Tensor& flat, std::int64_t task) {
    ImportanceTracker tracker({});
    AdamW optimizer(TrainOptions{});
    optimizer.reset(flat.numel());
    for (int step = 0; step < 150; ++step) {
      at::Tensor g = gradient(flat, task);
      tracker.update(flat, g);
      optimizer.step(flat, g, 0.05, {{0, flat.numel(), 1.0, 0.0}});
    }
    return UnitPartition::by_matrix(views()).means(tracker.importance());
  }
};
}  // namespace

TEST_CASE("hard fusion keeps two tasks on disjoint units, plain fine-tuning does not", "[fusion]") {
  at::Tensor flat = random_vector("start", 2 * TwoTasks::kUnits).to(at::kFloat) * 0.1;
  const at::Tensor first = min_max_normalised(TwoTasks::train(flat, 1));
  const double alone = TwoTasks::accuracy(flat, 1);
  CHECK(alone > 0.97);
  const at::Tensor old_values = flat.clone();
  const at::Tensor second = min_max_normalised(TwoTasks::train(flat, 2));
  const double second_alone = TwoTasks::accuracy(flat, 2);
  CHECK(TwoTasks::accuracy(flat, 1) < 0.6);
  const UnitPartition units = UnitPartition::by_matrix(TwoTasks::views());
  fuse(flat, old_values, units.spread(hard_keep(first, second, {})));
  CHECK(TwoTasks::accuracy(flat, 1) > alone - 0.01);
  CHECK(TwoTasks::accuracy(flat, 2) > second_alone - 0.01);
}
