// Fused insides of the blocks against the plain ATen ones in fp64, forward and backward.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <functional>

#include "core/base/error.h"
#include "core/base/random.h"
#include "core/model/blocks/activation.h"
#include "core/model/blocks/add_norm.h"
#include "core/model/blocks/attention.h"
#include "core/model/blocks/group_linear.h"
#include "core/model/blocks/label_loss.h"
#include "tests/core/model/model_support.h"
#include "tests/support/catch.h"

using namespace mneme::model;
using namespace mneme::model::blocks;
using mneme::model::test::relative_error;

namespace {

constexpr double kTolerance = 1e-5;
using Tensors = std::vector<at::Tensor>;
/// Outputs of a block from its differentiable inputs.
using Block = std::function<Tensors(const Tensors&, const BlockContext&)>;

Tensors leaves(const Tensors& inputs, at::ScalarType type) {
  Tensors result;
  for (const at::Tensor& x : inputs) result.push_back(x.detach().to(type).clone().requires_grad_(true));
  return result;
}

/// A scalar that weighs every output element differently, so that transposed or swapped gradients show.
at::Tensor weighed(const Tensors& outputs) {
  at::Tensor total = at::zeros({}, outputs[0].options());
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const at::Tensor w = at::arange(outputs[i].numel(), at::kDouble).add(static_cast<double>(i)).mul(0.37).cos();
    total = total + (outputs[i] * w.view(outputs[i].sizes()).to(outputs[i].options())).sum();
  }
  return total;
}

/// The fused block in fp32 equals the reference in fp64: outputs and gradients of all inputs.
void check_block(const Tensors& inputs, const Block& block, double tolerance = kTolerance) {
  const Tensors exact = leaves(inputs, at::kDouble), fast = leaves(inputs, at::kFloat);
  const Tensors expected = block(exact, {.backend = BlockBackend::kReference});
  const Tensors outputs = block(fast, {.backend = BlockBackend::kFused});
  REQUIRE(outputs.size() == expected.size());
  for (std::size_t i = 0; i < outputs.size(); ++i) CHECK(relative_error(outputs[i], expected[i]) < tolerance);
  const Tensors expected_gradients = test::gradients(weighed(expected), exact);
  const Tensors gradients = test::gradients(weighed(outputs), fast);
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    INFO("gradient of input " << i);
    CHECK(relative_error(gradients[i], expected_gradients[i]) < tolerance);
  }
}

/// The reference's own gradients by central differences in fp64.
void check_reference_gradients(const Tensors& inputs, const Block& block) {
  const Tensors x = leaves(inputs, at::kDouble);
  const BlockContext context{.backend = BlockBackend::kReference};
  const Tensors gradients = test::gradients(weighed(block(x, context)), x);
  mneme::RandomStream rng(5, "directions");
  for (std::size_t i = 0; i < x.size(); ++i) {
    const at::Tensor direction = at::randn_like(x[i]).detach();
    constexpr double kStep = 1e-5;
    const auto value = [&](double step) {
      const c10::NoGradGuard no_grad;
      Tensors moved = x;
      moved[i] = x[i] + step * direction;
      return weighed(block(moved, context)).item<double>();
    };
    const double slope = (value(kStep) - value(-kStep)) / (2 * kStep);
    INFO("input " << i);
    CHECK(slope == Approx((gradients[i] * direction).sum().item<double>()).epsilon(1e-6).margin(1e-7));
  }
}

void check_both(const Tensors& inputs, const Block& block) {
  check_block(inputs, block);
  check_reference_gradients(inputs, block);
}

struct Spans {
  std::vector<std::int64_t> lengths;
  AttentionSpan all() const {
    AttentionSpan span{.query_offsets = {0}, .key_offsets = {0}};
    for (const std::int64_t n : lengths) {
      span.query_offsets.push_back(span.query_offsets.back() + n);
      span.key_offsets.push_back(span.key_offsets.back() + n);
    }
    return span;
  }
};

std::shared_ptr<AttentionSpec> make_spec(std::int64_t heads, std::int64_t kv_heads, std::int64_t head_dim,
                                         AttentionSpan span) {
  auto spec = std::make_shared<AttentionSpec>();
  spec->heads = heads;
  spec->key_value_heads = kv_heads;
  spec->head_dim = head_dim;
  spec->scale = 0.3;
  spec->rope = RopeTable(head_dim, 100, {}).at_least(256);
  spec->span = std::move(span);
  return spec;
}

}  // namespace

TEST_CASE("add and norm", "[blocks]") {
  for (const std::int64_t dim : {3, 7, 16, 40, 128}) {
    check_both({at::randn({9, dim}), at::randn({9, dim}), at::randn({dim})}, [](const Tensors& x, const auto& context) {
      const auto out = add_norm(x[0], x[1], x[2], 1e-5, context);
      return Tensors{out.normed, out.residual};
    });
    check_both({at::randn({3, dim}), at::randn({dim})}, [](const Tensors& x, const auto& context) {
      return Tensors{add_norm(x[0], {}, x[1], 1e-5, context).normed};
    });
  }
}

TEST_CASE("add and norm with one output unused", "[blocks]") {
  for (const bool use_normed : {true, false})
    check_block({at::randn({5, 24}), at::randn({5, 24}), at::randn({24})}, [&](const Tensors& x, const auto& context) {
      const auto out = add_norm(x[0], x[1], x[2], 1e-5, context);
      return Tensors{use_normed ? out.normed : out.residual};
    });
}

TEST_CASE("activation functions, gated and not", "[blocks]") {
  for (const char* name : {"silu", "gelu", "gelu_tanh", "relu"}) {
    for (const bool gated : {true, false}) {
      INFO(name << (gated ? ", gated" : ""));
      const Activation kind{.function = *activation_function(name), .gated = gated};
      for (const std::int64_t width : {1, 5, 16, 72})
        check_both({at::randn({6, (gated ? 2 : 1) * width}) * 3},
                   [&](const Tensors& x, const auto& context) { return Tensors{activation(x[0], kind, context)}; });
    }
  }
}

TEST_CASE("activation functions far from zero", "[blocks]") {
  const at::Tensor x = at::tensor({-200.0, -30.0, -6.0, -1e-4, 0.0, 1e-4, 6.0, 30.0, 200.0}).unsqueeze(0);
  for (const char* name : {"silu", "gelu", "gelu_tanh", "relu"}) {
    INFO(name);
    const Activation kind{.function = *activation_function(name), .gated = false};
    check_block({x}, [&](const Tensors& in, const auto& context) { return Tensors{activation(in[0], kind, context)}; });
  }
}

TEST_CASE("cross-entropy on label rows", "[blocks]") {
  const at::Tensor labels = at::tensor({0L, 4L, 2L, 2L});
  for (const std::int64_t classes : {5, 16, 259}) {
    check_both({at::randn({4, classes}) * 4},
               [&](const Tensors& x, const auto& context) { return Tensors{label_loss(x[0], labels, context)}; });
  }
  CHECK_THROWS_WITH(label_loss(at::randn({4, 4}), labels, {}),
                    Catch::Contains("Label 1 is 4; the vocabulary has 4 tokens"));
  CHECK_THROWS_WITH(label_loss(at::randn({3, 9}), labels, {}), Catch::Contains("3 rows of logits and 4 labels"));
}

TEST_CASE("attention over packed sequences", "[blocks]") {
  struct Case {
    std::int64_t heads, kv_heads, head_dim;
    std::vector<std::int64_t> lengths;
  };
  for (const auto& c : {Case{4, 4, 32, {30, 1, 61}}, Case{4, 2, 12, {5, 13, 12}}, Case{6, 1, 64, {70}},
                        Case{2, 2, 2, {3, 4}}, Case{3, 3, 40, {100, 2}}, Case{2, 1, 128, {20}}}) {
    INFO("heads " << c.heads << "/" << c.kv_heads << " of " << c.head_dim);
    const Spans spans{c.lengths};
    const std::int64_t rows = spans.all().key_offsets.back();
    const auto spec = make_spec(c.heads, c.kv_heads, c.head_dim, spans.all());
    check_both({at::randn({rows, (c.heads + 2 * c.kv_heads) * c.head_dim})},
               [&](const Tensors& x, const auto& context) { return Tensors{attention(x[0], {}, spec, context)}; });
  }
}

TEST_CASE("attention of some queries to all keys", "[blocks]") {
  const std::int64_t heads = 4, kv_heads = 2, head_dim = 16;
  AttentionSpan span{.query_offsets = {0, 3, 3, 20}, .key_offsets = {0, 10, 17, 40}};
  SECTION("the last ones") {}
  SECTION("chosen positions") {
    span.query_positions = {1, 4, 9};
    for (std::int64_t i = 0; i < 17; ++i) span.query_positions.push_back(i + (i > 8 ? 5 : 0));
  }
  const auto spec = make_spec(heads, kv_heads, head_dim, span);
  check_both({at::randn({20, heads * head_dim}), at::randn({40, 2 * kv_heads * head_dim})},
             [&](const Tensors& x, const auto& context) { return Tensors{attention(x[0], x[1], spec, context)}; });
}

TEST_CASE("attention equals ATen's scaled dot product", "[blocks]") {
  const std::int64_t heads = 3, head_dim = 16, rows = 21;
  auto spec = make_spec(heads, heads, head_dim, Spans{{rows}}.all());
  spec->rope = nullptr;
  const at::Tensor qkv = at::randn({rows, 3 * heads * head_dim});
  const auto part = [&](std::int64_t i) {
    return qkv.narrow(1, i * heads * head_dim, heads * head_dim)
        .view({rows, heads, head_dim})
        .transpose(0, 1)
        .unsqueeze(0);
  };
  const at::Tensor expected = at::scaled_dot_product_attention(part(0), part(1), part(2), {}, 0.0, true, 0.3)
                                  .squeeze(0)
                                  .transpose(0, 1)
                                  .reshape({rows, -1});
  for (const BlockBackend backend : {BlockBackend::kReference, BlockBackend::kFused})
    CHECK(relative_error(attention(qkv, {}, spec, {.backend = backend}), expected) < kTolerance);
}

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

TEST_CASE("bf16 blocks agree with fp32 to bf16's precision", "[blocks]") {
  constexpr double kBf16 = 2e-2;
  const BlockContext context;
  const auto bf16 = [](const at::Tensor& t) { return t.to(at::kBFloat16); };
  const at::Tensor x = at::randn({11, 48}), w = at::randn({48}), d = at::randn({11, 48});
  CHECK(relative_error(add_norm(bf16(x), bf16(d), bf16(w), 1e-6, context).normed,
                       add_norm(x, d, w, 1e-6, context).normed) < kBf16);
  for (const char* name : {"silu", "gelu", "gelu_tanh", "relu"}) {
    const Activation kind{.function = *activation_function(name), .gated = false};
    CHECK(relative_error(activation(bf16(x), kind, context), activation(x, kind, context)) < kBf16);
  }
  const auto spec = make_spec(2, 1, 12, Spans{{4, 7}}.all());
  CHECK(relative_error(attention(bf16(x), {}, spec, context), attention(x, {}, spec, context)) < kBf16);
  const at::Tensor labels = at::arange(11, at::kLong);
  CHECK(relative_error(label_loss(bf16(x), labels, context), label_loss(x, labels, context)) < kBf16);
}

TEST_CASE("rows of a linear have the same bits alone and among many", "[blocks]") {
  const at::Tensor weight = at::randn({150, 40}), x = at::randn({80, 40});
  const GroupWeight group{.weight = weight, .bias = {}, .packed = std::make_shared<const PackedWeight>(weight)};
  const auto gradient = [&](const at::Tensor& rows) {
    at::Tensor input = rows.clone().requires_grad_(true);
    const at::Tensor y = group_linear(group, input, {}, {});
    return Tensors{y.detach(), test::gradients(y.sum(), {input})[0]};
  };
  const Tensors all = gradient(x), few = gradient(x.narrow(0, 7, 5));
  for (std::size_t i = 0; i < all.size(); ++i) CHECK(at::equal(all[i].narrow(0, 7, 5), few[i]));
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
