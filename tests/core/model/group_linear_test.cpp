// A group of linears with its adapters: the fused inside against the plain one, precisions, and bits in any company.
#include "core/model/blocks/group_linear.h"

#include "core/base/random.h"
#include "core/model/kernels/matrix_unit.h"
#include "tests/core/model/blocks_support.h"

using namespace mneme::model;
using namespace mneme::model::blocks;
using mneme::model::test::relative_error;

namespace {

/// Two adapters on a group of three parts: one on all, one on the middle part alone.
struct LinearCase {
  std::int64_t in = 20, rows = 23;
  std::vector<std::int64_t> outs{24, 8, 19};
  std::vector<std::int64_t> offsets{0, 9, 9, 23};
  std::vector<std::shared_ptr<LowRankLayout>> layouts;

  LinearCase() {
    layouts.push_back(std::make_shared<LowRankLayout>(LowRankLayout{.rank = 8, .in = in}));
    layouts.push_back(std::make_shared<LowRankLayout>(LowRankLayout{.rank = 3, .in = in}));
    std::int64_t column = 0;
    for (std::size_t p = 0; p < outs.size(); ++p) {
      const LowRankLayout::Part part{.linear = static_cast<std::int64_t>(p), .first_column = column, .out = outs[p]};
      layouts[0]->parts.push_back(part);
      if (p == 1) layouts[1]->parts.push_back(part);
      column += outs[p];
    }
  }
  std::int64_t out() const { return outs[0] + outs[1] + outs[2]; }
};

}  // namespace

TEST_CASE("a group of linears with adapters, gates and a bias", "[blocks]") {
  const LinearCase c;
  const auto run = [&](const Tensors& x, const BlockContext& context, std::int64_t first, std::int64_t count) {
    std::vector<LowRankDelta> deltas{{.slice = x[2], .layout = c.layouts[0], .scale = 2},
                                     {.slice = x[3], .layout = c.layouts[1], .scale = -0.7, .gate = x[4]}};
    const WeightDelta dense{.linear = 1, .delta = x[5], .scale = 1.5, .gate = x[4]};
    GroupDeltas group{.low_rank = deltas,
                      .dense = {{.delta = &dense, .first_column = 24}},
                      .offsets = &c.offsets,
                      .first_column = first};
    const GroupWeight weight{.weight = x[1].narrow(0, first, count), .bias = x[6].narrow(0, first, count)};
    return Tensors{group_linear(weight, x[0], group, context)};
  };
  const Tensors inputs{at::randn({c.rows, c.in}),
                       at::randn({c.out(), c.in}),
                       at::randn({c.layouts[0]->parameters()}),
                       at::randn({c.layouts[1]->parameters()}),
                       at::randn({3}),
                       at::randn({8, c.in}),
                       at::randn({c.out()})};
  SECTION("all columns") {
    check_both(inputs, [&](const Tensors& x, const auto& context) { return run(x, context, 0, c.out()); });
  }
  SECTION("the first part alone") {
    check_both(inputs, [&](const Tensors& x, const auto& context) { return run(x, context, 0, 24); });
  }
  SECTION("the others alone") {
    check_both(inputs, [&](const Tensors& x, const auto& context) { return run(x, context, 24, 27); });
  }
}

TEST_CASE("dropout of an adapter's input", "[blocks]") {
  const LinearCase c;
  const at::Tensor x = at::randn({c.rows, c.in}).requires_grad_(true), weight = at::zeros({c.out(), c.in});
  const at::Tensor slice = at::randn({c.layouts[0]->parameters()}).requires_grad_(true);
  const std::vector<LowRankDelta> deltas{{.slice = slice, .layout = c.layouts[0], .scale = 1, .dropout = 0.5}};
  const GroupDeltas group{.low_rank = deltas, .dense = {}, .offsets = &c.offsets};
  mneme::RandomStream rng(1, "dropout");
  const auto state = rng.state();
  const auto run = [&] {
    rng.set_state(state);
    return group_linear({.weight = weight}, x, group, {.backend = BlockBackend::kFused, .dropout = &rng});
  };
  const at::Tensor y = run();
  CHECK(at::equal(y, run()));
  CHECK_FALSE(at::equal(y, group_linear({.weight = weight}, x, group, {})));
  // The mask is fixed: the output is linear in x, so the gradient along x itself gives the output back.
  const at::Tensor w = at::randn_like(y);
  const Tensors gradients = test::gradients((y * w).sum(), {x, slice});
  CHECK((gradients[0] * x).sum().item<double>() == Approx((y * w).sum().item<double>()).epsilon(1e-4));
  // A central difference in the slice, along a direction, with the same mask.
  const at::Tensor direction = at::randn_like(slice).detach();
  const auto value = [&](double step) {
    const c10::NoGradGuard no_grad;
    slice.add_(direction, step);
    const double v = (run() * w).sum().item<double>();
    slice.sub_(direction, step);
    return v;
  };
  const double slope = (value(1e-2) - value(-1e-2)) / 2e-2;
  CHECK(slope == Approx((gradients[1] * direction).sum().item<double>()).epsilon(1e-3));
}

TEST_CASE("what a backward pass cannot do is said", "[blocks]") {
  const LinearCase c;
  const at::Tensor x = at::randn({c.rows, c.in});
  const at::Tensor slice = at::randn({c.layouts[0]->parameters()}).requires_grad_(true);
  const std::vector<LowRankDelta> deltas{{.slice = slice, .layout = c.layouts[0]}};
  const GroupDeltas group{.low_rank = deltas, .dense = {}, .offsets = &c.offsets};
  const auto run = [&] { return group_linear({.weight = at::randn({c.out(), c.in})}, x, group, {}).sum(); };
  const at::Tensor changed = run();
  {
    const c10::NoGradGuard no_grad;
    slice.add_(1);
  }
  CHECK_THROWS_WITH(changed.backward(), Catch::Contains("changed between the forward and the backward pass"));
  const at::Tensor twice = run();
  twice.backward();
  CHECK_THROWS_WITH(twice.backward(), Catch::Contains("ran already"));
}

namespace {

/// The group's output, and the gradient of its sum in the rows.
Tensors with_gradient(const GroupWeight& group, const at::Tensor& rows) {
  const at::Tensor input = rows.clone().requires_grad_(true);
  const at::Tensor y = group_linear(group, input, {}, {});
  return {y.detach(), test::gradients(y.sum(), {input})[0]};
}

}  // namespace

TEST_CASE("rows of a linear have the same bits alone and among many", "[blocks]") {
  const auto precision = GENERATE(MatmulPrecision::kHighest, MatmulPrecision::kHigh);
  const at::Tensor weight = at::randn({150, 40}), x = at::randn({80, 40});
  const GroupWeight group{
      .weight = weight, .bias = {}, .packed = std::make_shared<const PackedWeight>(weight, precision)};
  const Tensors all = with_gradient(group, x), few = with_gradient(group, x.narrow(0, 7, 5));
  for (std::size_t i = 0; i < all.size(); ++i) CHECK(at::equal(all[i].narrow(0, 7, 5), few[i]));
}

TEST_CASE("rows of a bf16 linear have the same bits alone and among many on the matrix unit", "[blocks]") {
  if (kernels::matrix_unit() == nullptr) {
    WARN("skipped: this CPU has no matrix unit");
    return;
  }
  const at::Tensor weight = at::randn({150, 40}).to(at::kBFloat16), x = at::randn({300, 40}).to(at::kBFloat16);
  const GroupWeight group{.weight = weight,
                          .bias = at::randn({150}).to(at::kBFloat16),
                          .packed = std::make_shared<const PackedWeight>(weight)};
  const Tensors all = with_gradient(group, x);
  for (const std::int64_t rows : {1, 5, 64, 65, 257}) {
    const Tensors some = with_gradient(group, x.narrow(0, 7, rows));
    for (std::size_t i = 0; i < all.size(); ++i) CHECK(at::equal(some[i], all[i].narrow(0, 7, rows)));
  }
}

TEST_CASE("fp32 products of high precision keep 16 bits of their factors", "[blocks]") {
  const LinearCase c;
  const at::Tensor weight = at::randn({51, c.in}), x = at::randn({100, c.in});
  const auto run = [&](at::ScalarType type, MatmulPrecision precision) {
    at::Tensor input = x.to(type).clone().requires_grad_(true);
    const GroupWeight group{
        .weight = weight.to(type),
        .bias = {},
        .packed = type == at::kFloat ? std::make_shared<const PackedWeight>(weight, precision) : nullptr};
    const BlockBackend backend = type == at::kFloat ? BlockBackend::kFused : BlockBackend::kReference;
    const at::Tensor y = group_linear(group, input, {}, {.backend = backend});
    return Tensors{y.detach(), test::gradients(weighed({y}), {input})[0]};
  };
  const Tensors exact = run(at::kDouble, MatmulPrecision::kHighest);
  const Tensors highest = run(at::kFloat, MatmulPrecision::kHighest), high = run(at::kFloat, MatmulPrecision::kHigh);
  for (std::size_t i = 0; i < exact.size(); ++i) {
    CHECK(relative_error(highest[i], exact[i]) < 1e-6);
    CHECK(relative_error(high[i], exact[i]) < 4.7e-5);
    CHECK(at::equal(high[i], highest[i]) == (kernels::matrix_unit() == nullptr));
  }
}

TEST_CASE("a bf16 group of linears equals the reference on the same rounded values", "[blocks]") {
  constexpr double kBf16 = 2e-2;
  const LinearCase c;
  // More rows than one sum of a gradient holds, so that several are added.
  const std::int64_t rows = 23 * 7;
  std::vector<std::int64_t> offsets{0, 60, 60, rows};
  const at::Tensor weight = at::randn({51, c.in}).to(at::kBFloat16), x = at::randn({rows, c.in}).to(at::kBFloat16);
  const at::Tensor bias = at::randn({51}).to(at::kBFloat16);
  const bool with_packed = GENERATE(false, true);
  if (with_packed && !PackedWeight::packs_half()) return;
  const auto packed = with_packed ? std::make_shared<const PackedWeight>(weight) : nullptr;
  Tensors inputs{x};
  for (const auto& layout : c.layouts) {
    inputs.push_back(at::randn({layout->parameters()}));
    inputs.push_back(at::randn({3}));
  }
  const auto run = [&](const Tensors& in, at::ScalarType type, BlockBackend backend) {
    std::vector<LowRankDelta> deltas;
    for (std::size_t i = 0; i < c.layouts.size(); ++i)
      deltas.push_back(
          {.slice = in[1 + 2 * i], .layout = c.layouts[i], .scale = 0.5, .dropout = 0, .gate = in[2 + 2 * i]});
    return group_linear({.weight = weight.to(type), .bias = bias.to(type), .packed = packed}, in[0],
                        {.low_rank = deltas, .offsets = &offsets}, {.backend = backend});
  };
  const Tensors exact = leaves(inputs, at::kDouble);
  Tensors fast = leaves(inputs, at::kFloat);
  fast[0] = x.clone().requires_grad_(true);
  const at::Tensor expected = run(exact, at::kDouble, BlockBackend::kReference);
  const at::Tensor found = run(fast, at::kBFloat16, BlockBackend::kFused);
  REQUIRE(found.scalar_type() == at::kBFloat16);
  CHECK(relative_error(found, expected) < kBf16);
  const Tensors expected_gradients = test::gradients(weighed({expected}), exact);
  const Tensors gradients = test::gradients(weighed({found}), fast);
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    INFO("gradient of input " << i);
    CHECK(relative_error(gradients[i], expected_gradients[i]) < kBf16);
  }
}
