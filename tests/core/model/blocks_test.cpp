// Fused insides of the blocks against the plain ATen ones in fp64, forward and backward.
#include <ATen/ATen.h>

#include "core/model/blocks/activation.h"
#include "core/model/blocks/add_norm.h"
#include "core/model/blocks/attention.h"
#include "core/model/blocks/label_loss.h"
#include "tests/core/model/blocks_support.h"

using namespace mneme::model;
using namespace mneme::model::blocks;
using mneme::model::test::relative_error;

namespace {

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
