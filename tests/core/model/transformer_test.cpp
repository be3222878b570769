#include "core/model/transformer.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "core/base/error.h"
#include "core/model/kernels/matrix_unit.h"
#include "tests/core/model/model_support.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::model;
using namespace mneme::model::test;

TEST_CASE("packing drops the last token and numbers the labels", "[batch]") {
  const PackedBatch batch = pack_all({{5, 6, 7, 8}, {1, 2, 3}, {9}}, {2, 1, 1});
  CHECK(batch.offsets == std::vector<std::int64_t>{0, 3, 5, 6});
  CHECK(at::equal(batch.ids, at::tensor({5L, 6L, 7L, 1L, 2L, 9L})));
  CHECK(at::equal(batch.label_rows, at::tensor({1L, 2L, 3L, 4L})));
  CHECK(at::equal(batch.labels, at::tensor({7L, 8L, 2L, 3L})));
  CHECK(batch.label_offsets == std::vector<std::int64_t>{0, 2, 4, 4});
  CHECK(batch.sequences() == 3);
  CHECK(batch.label_count() == 4);
  CHECK_THROWS_WITH(pack_all({{}}, {1}), Catch::Contains("Sequence 0 of a batch has no tokens"));
  CHECK_THROWS_WITH(pack_all({{1, 2}}, {0}), Catch::Contains("its first label is token 0; expected 1 to 2"));
  CHECK_THROWS_WITH(pack_all({{1, 2}}, {3}), Catch::Contains("its first label is token 3"));
}

TEST_CASE("random weights have the documented size", "[transformer]") {
  TransformerConfig config = small_config();
  config.hidden_size = 128;
  config.vocab_size = 500;
  RandomStream a(1, "w"), b(1, "w"), c(2, "w");
  const auto model = Transformer::random(config, at::kFloat, a);
  const auto weights = model->weights();
  CHECK(weights.front().first == "model.embed_tokens.weight");
  CHECK(weights.front().second.std().item<double>() == Approx(0.02).epsilon(0.03));
  for (const auto& [name, weight] : weights) {
    if (name.ends_with("down_proj.weight"))
      CHECK(weight.std().item<double>() == Approx(0.02 / std::sqrt(6)).epsilon(0.05));
    if (name.ends_with("norm.weight")) CHECK(at::equal(weight, at::ones_like(weight)));
  }
  CHECK(at::equal(Transformer::random(config, at::kFloat, b)->weights()[0].second, weights[0].second));
  CHECK_FALSE(at::equal(Transformer::random(config, at::kFloat, c)->weights()[0].second, weights[0].second));
  std::int64_t count = 0;
  for (const auto& [name, weight] : weights) count += weight.numel();
  CHECK(model->parameter_count() == count);
}

TEST_CASE("a model of high precision keeps it when merged, and is near the exact one", "[transformer]") {
  const auto logits = [](MatmulPrecision precision, bool merged) {
    RandomStream rng(3, "w");
    auto model = Transformer::random(small_config(), at::kFloat, rng, at::kCPU, precision);
    if (merged) model = model->merged({});
    const PackedBatch batch = small_batch();
    return model->forward({.batch = &batch, .want_logits = true}).logits;
  };
  const at::Tensor exact = logits(MatmulPrecision::kHighest, false), high = logits(MatmulPrecision::kHigh, false);
  CHECK(relative_error(high, exact) < 1e-4);
  CHECK(at::equal(high, exact) == (kernels::matrix_unit() == nullptr));
  CHECK(at::equal(logits(MatmulPrecision::kHigh, true), high));
}

TEST_CASE("linears and groups name Hugging Face's modules", "[transformer]") {
  const auto model = lively_model();
  REQUIRE(model->linears().size() == 21);
  REQUIRE(model->groups().size() == 12);
  CHECK(model->linears()[9].name == "model.layers.1.self_attn.v_proj");
  CHECK(model->linears()[9].layer == 1);
  CHECK(model->linears()[9].first_column == 72);
  CHECK(model->groups()[4].name == "model.layers.1.self_attn.qkv");
  CHECK(model->groups()[4].out == 96);
  CHECK(model->groups()[7].name == "model.layers.1.mlp.down");
  CHECK(model->groups()[7].in == 56);
}

TEST_CASE("losses do not depend on what else is in the batch", "[transformer]") {
  const auto model = lively_model();
  const ActiveAdapters adapters = random_adapter(*model, {});
  const auto tokens = random_tokens(kLengths, 53, 4);
  for (const BlockBackend backend : {BlockBackend::kReference, BlockBackend::kFused}) {
    const PackedBatch all = pack_all(tokens, kFirst);
    const at::Tensor together =
        model->forward({.batch = &all, .adapters = &adapters, .want_losses = true, .backend = backend}).losses;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const PackedBatch one = pack_all({tokens[i]}, {kFirst[i]});
      const at::Tensor alone =
          model->forward({.batch = &one, .adapters = &adapters, .want_losses = true, .backend = backend}).losses;
      const at::Tensor same = together.narrow(0, all.label_offsets[i], one.label_count());
      CHECK(relative_error(same, alone) < 1e-5);
      // The own kernels compute each row and each sequence in one order: the very same bits.
      if (backend == BlockBackend::kFused) CHECK(at::equal(same, alone));
    }
  }
}

TEST_CASE("fused and reference blocks give the same losses and gradients", "[transformer]") {
  const auto model = lively_model();
  const ActiveAdapters adapters = random_adapter(*model, {});
  const PackedBatch batch = small_batch();
  const auto run = [&](BlockBackend backend) {
    return model->forward({.batch = &batch, .adapters = &adapters, .want_losses = true, .backend = backend}).losses;
  };
  const at::Tensor a = run(BlockBackend::kReference), b = run(BlockBackend::kFused);
  CHECK(relative_error(b, a) < 1e-5);
  const auto slices = slices_of(adapters);
  const auto expected = gradients(a.mean(), slices), found = gradients(b.mean(), slices);
  for (std::size_t i = 0; i < slices.size(); ++i) CHECK(relative_error(found[i], expected[i]) < 1e-4);
}

TEST_CASE("rows needed: labels, last and all agree", "[transformer]") {
  const auto model = lively_model();
  const PackedBatch batch = small_batch();
  const auto logits = [&](RowsNeeded rows, HiddenStates hidden = HiddenStates::kNone) {
    return model->forward({.batch = &batch, .rows = rows, .want_logits = true, .hidden = hidden}).logits;
  };
  const at::Tensor all = logits(RowsNeeded::kAll);
  CHECK(all.size(0) == batch.tokens());
  CHECK(relative_error(logits(RowsNeeded::kLabels), all.index_select(0, batch.label_rows)) < 1e-5);
  CHECK(relative_error(logits(RowsNeeded::kLabels, HiddenStates::kLast), all.index_select(0, batch.label_rows)) < 1e-5);
  std::vector<std::int64_t> last(batch.offsets.begin() + 1, batch.offsets.end());
  CHECK(relative_error(logits(RowsNeeded::kLast), all.index_select(0, at::tensor(last) - 1)) < 1e-5);
}

TEST_CASE("merged weights compute what the adapters compute", "[transformer]") {
  const auto model = lively_model();
  ActiveAdapters adapters = random_adapter(*model, {.deviation = 0.05});
  const auto second = random_adapter(*model, {.kinds = {"v_proj", "gate_proj"}, .rank = 2, .scale = -1, .seed = 2});
  for (std::size_t g = 0; g < adapters.groups.size(); ++g)
    for (const auto& delta : second.groups[g]) adapters.groups[g].push_back(delta);
  adapters.weights.push_back({.linear = 8, .delta = 0.05 * at::randn({24, 40}), .scale = 0.5});
  const PackedBatch batch = small_batch();
  const at::Tensor apart = model->forward({.batch = &batch, .adapters = &adapters, .want_losses = true}).losses;
  const at::Tensor joined = model->merged(adapters)->forward({.batch = &batch, .want_losses = true}).losses;
  const at::Tensor bare = model->forward({.batch = &batch, .want_losses = true}).losses;
  CHECK(relative_error(joined, apart) < 1e-5);
  CHECK(relative_error(bare, apart) > 1e-2);
  adapters.groups[0][0].gate = at::ones({5});
  CHECK_THROWS_WITH(model->merged(adapters), Catch::Contains("gate per sequence cannot be merged"));
}

TEST_CASE("two forwards before one backward sum their gradients", "[transformer]") {
  const auto model = lively_model();
  const ActiveAdapters first = random_adapter(*model, {});
  ActiveAdapters second = random_adapter(*model, {.seed = 9});
  second.groups[0] = first.groups[0];  // a shared slice
  const PackedBatch batch = small_batch();
  const auto loss = [&](const ActiveAdapters& adapters) {
    return model->forward({.batch = &batch, .adapters = &adapters, .want_losses = true}).losses.mean();
  };
  auto leaves = slices_of(first);
  for (const auto& slice : slices_of(second)) leaves.push_back(slice);
  const auto a = gradients(loss(first), leaves), b = gradients(loss(second), leaves);
  const at::Tensor one = loss(first), two = loss(second);
  const auto sum = gradients(one + 3 * two, leaves);
  for (std::size_t i = 0; i < leaves.size(); ++i) CHECK(relative_error(sum[i], a[i] + 3 * b[i]) < 1e-5);
}

TEST_CASE("gates weigh an adapter per sequence", "[transformer]") {
  const auto model = lively_model();
  ActiveAdapters adapters = random_adapter(*model, {});
  const PackedBatch batch = small_batch();
  const auto losses = [&](const ActiveAdapters* active) {
    return model->forward({.batch = &batch, .adapters = active, .want_losses = true}).losses;
  };
  const at::Tensor bare = losses(nullptr), full = losses(&adapters);
  const at::Tensor gate = at::tensor({1.f, 0.f, 1.f, 0.f, 1.f}).requires_grad_(true);
  for (auto& group : adapters.groups)
    for (auto& delta : group) delta.gate = gate;
  const at::Tensor gated = losses(&adapters);
  for (std::size_t s = 0; s < kLengths.size(); ++s) {
    const auto part = [&](const at::Tensor& t) {
      return t.narrow(0, batch.label_offsets[s], batch.label_offsets[s + 1] - batch.label_offsets[s]);
    };
    CHECK(relative_error(part(gated), part(s % 2 == 0 ? full : bare)) < 1e-5);
  }
  // The gradient of the gates by central differences.
  const at::Tensor found = gradients(gated.mean(), {gate})[0];
  const c10::NoGradGuard no_grad;
  for (const std::int64_t s : {0, 1, 2}) {
    const auto value = [&](float step) {
      gate[s] += step;
      const double v = losses(&adapters).mean().item<double>();
      gate[s] -= step;
      return v;
    };
    CHECK((value(0.01f) - value(-0.01f)) / 0.02 == Approx(found[s].item<double>()).epsilon(0.02).margin(1e-4));
  }
}

TEST_CASE("stopping at a layer and resuming equals one pass", "[transformer]") {
  const auto model = lively_model();
  const ActiveAdapters adapters = random_adapter(*model, {});
  const PackedBatch batch = small_batch();
  const at::Tensor whole = model->forward({.batch = &batch, .adapters = &adapters, .want_losses = true}).losses;
  for (const std::int64_t layer : {1, 2, 3}) {
    const auto lower = model->forward({.batch = &batch, .adapters = &adapters, .end_layer = layer});
    REQUIRE(lower.hidden.size() == 1);
    const auto upper = model->forward(
        {.batch = &batch, .adapters = &adapters, .want_losses = true, .first_layer = layer, .resume = lower.hidden[0]});
    CHECK(relative_error(upper.losses, whole) < 1e-5);
    const auto slices = slices_of(adapters);
    const auto found = gradients(upper.losses.mean(), slices);
    CHECK(found[0].abs().max().item<double>() > 0);  // gradients flow through the cut
  }
  CHECK_THROWS_WITH(model->forward({.batch = &batch, .end_layer = 4}),
                    Catch::Contains("run layers 0 to 4; the model has 3"));
  CHECK_THROWS_WITH(model->forward({.batch = &batch, .first_layer = 1}),
                    Catch::Contains("needs hidden states to resume from"));
  CHECK_THROWS_WITH(model->forward({.batch = &batch, .first_layer = 1, .resume = at::zeros({2, 40})}),
                    Catch::Contains("need the shape [71, 40]"));
}

TEST_CASE("hidden states and captured inputs are those of the layers", "[transformer]") {
  const auto model = lively_model();
  const PackedBatch batch = small_batch();
  const auto out = model->forward({.batch = &batch, .hidden = HiddenStates::kAll, .capture_linears = {0, 1, 13, 20}});
  REQUIRE(out.hidden.size() == 4);
  CHECK(at::equal(out.hidden[0], at::embedding(model->weights()[0].second, batch.ids)));
  for (std::int64_t layer = 1; layer < 3; ++layer)
    CHECK(relative_error(out.hidden[static_cast<std::size_t>(layer)],
                         model->forward({.batch = &batch, .end_layer = layer}).hidden[0]) < 1e-6);
  CHECK(at::equal(model->forward({.batch = &batch, .hidden = HiddenStates::kLast}).hidden.at(0), out.hidden[3]));
  REQUIRE(out.captured.size() == 4);
  CHECK(at::equal(out.captured.at(0), out.captured.at(1)));
  CHECK(out.captured.at(13).sizes() == at::IntArrayRef({batch.tokens(), 56}));  // layer 1's down_proj
  // q_proj's input is the normed embedding.
  const at::Tensor x = out.hidden[0];
  const at::Tensor normed = x * (x.pow(2).mean(1, true) + 1e-6).rsqrt() * model->weights()[1].second;
  CHECK(relative_error(out.captured.at(0), normed) < 1e-5);
}

TEST_CASE("a soft prompt is fed before the tokens", "[transformer]") {
  const auto model = lively_model();
  const auto tokens = random_tokens({6, 11}, 53, 8);
  const PackedBatch batch = pack_all(tokens, {2, 7});
  const at::Tensor table = model->weights()[0].second;
  // Embeddings of real tokens as the prompt: the same as feeding those tokens.
  const auto prefix_ids = random_tokens({4, 4}, 53, 9);
  ActiveAdapters adapters;
  adapters.prefix = at::stack({table.index_select(0, at::tensor(prefix_ids[0]).to(at::kLong)),
                               table.index_select(0, at::tensor(prefix_ids[1]).to(at::kLong))})
                        .clone()
                        .requires_grad_(true);
  std::vector<std::vector<std::int32_t>> longer = prefix_ids;
  for (std::size_t s = 0; s < 2; ++s) longer[s].insert(longer[s].end(), tokens[s].begin(), tokens[s].end());
  const PackedBatch plain = pack_all(longer, {6, 11});
  for (const BlockBackend backend : {BlockBackend::kReference, BlockBackend::kFused}) {
    const auto soft = model->forward({.batch = &batch, .adapters = &adapters, .want_losses = true, .backend = backend});
    const auto hard = model->forward({.batch = &plain, .want_losses = true, .backend = backend});
    CHECK(relative_error(soft.losses, hard.losses) < 1e-5);
    CHECK(gradients(soft.losses.mean(), {adapters.prefix})[0].abs().max().item<double>() > 0);
    const auto states =
        model->forward({.batch = &batch, .adapters = &adapters, .hidden = HiddenStates::kAll, .backend = backend});
    for (const auto& h : states.hidden) CHECK(h.size(0) == batch.tokens());
    CHECK(at::equal(states.hidden[0], at::embedding(table, batch.ids)));
  }
  adapters.prefix = at::zeros({1, 4, 40});
  CHECK_THROWS_WITH(model->forward({.batch = &batch, .adapters = &adapters, .want_losses = true}),
                    Catch::Contains("Soft prompts need the shape [2 sequences, length, 40]"));
}

TEST_CASE("all weights can be trained", "[transformer]") {
  for (const bool tied : {false, true}) {
    TransformerConfig config = small_config();
    config.tie_word_embeddings = tied;
    const auto model = lively_model(config);
    std::vector<std::pair<std::string, at::Tensor>> leaves;
    std::vector<at::Tensor> tensors;
    for (const auto& [name, weight] : model->weights()) {
      leaves.emplace_back(name, weight.clone().requires_grad_(true));
      tensors.push_back(leaves.back().second);
    }
    const PackedBatch batch = small_batch();
    const at::Tensor before = model->forward({.batch = &batch, .want_losses = true}).losses;
    model->bind_weights(leaves);
    const auto run = [&](BlockBackend backend) {
      return model->forward({.batch = &batch, .want_losses = true, .backend = backend}).losses;
    };
    CHECK(at::equal(run(BlockBackend::kFused), before));
    const auto expected = gradients(run(BlockBackend::kReference).mean(), tensors);
    const auto found = gradients(run(BlockBackend::kFused).mean(), tensors);
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      INFO(leaves[i].first);
      CHECK(expected[i].abs().max().item<double>() > 0);
      CHECK(relative_error(found[i], expected[i]) < 1e-4);
    }
    // A step against the gradient lowers the loss, and the saved weights are the leaves.
    const double loss = run(BlockBackend::kFused).mean().item<double>();
    {
      const c10::NoGradGuard no_grad;
      for (std::size_t i = 0; i < tensors.size(); ++i) tensors[i].sub_(found[i], 0.05);
    }
    CHECK(run(BlockBackend::kFused).mean().item<double>() < loss);
    CHECK(at::equal(model->weights()[3].second, tensors[3]));
  }
  const auto model = lively_model();
  CHECK_THROWS_WITH(model->bind_weights({{"model.norm.weigth", at::zeros({40})}}),
                    Catch::Contains("no weight 'model.norm.weigth'; did you mean 'model.norm.weight'?"));
  CHECK_THROWS_WITH(model->bind_weights({{"model.norm.weight", at::zeros({41})}}),
                    Catch::Contains("another shape than [40]"));
}

TEST_CASE("no gradient is computed below the first adapter", "[transformer]") {
  const auto model = lively_model();
  const ActiveAdapters adapters = random_adapter(*model, {.first_layer = 2});
  const PackedBatch batch = small_batch();
  const auto lower = model->forward({.batch = &batch, .adapters = &adapters, .end_layer = 2});
  CHECK_FALSE(lower.hidden[0].requires_grad());
  CHECK(model->forward({.batch = &batch, .adapters = &adapters, .want_losses = true}).losses.requires_grad());
  CHECK_FALSE(model->forward({.batch = &batch, .want_losses = true}).losses.requires_grad());
}

TEST_CASE("adapters that do not fit are refused", "[transformer]") {
  const auto model = lively_model();
  const PackedBatch batch = small_batch();
  const auto error_with = [&](const std::function<void(ActiveAdapters&)>& spoil) {
    ActiveAdapters adapters = random_adapter(*model, {});
    spoil(adapters);
    try {
      model->forward({.batch = &batch, .adapters = &adapters, .want_losses = true});
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  CHECK_THAT(error_with([](auto& a) { a.groups.pop_back(); }),
             Catch::Contains("given for 11 groups; the model has 12"));
  CHECK_THAT(error_with([](auto& a) { a.groups[0][0].slice = at::zeros({3}); }),
             Catch::Contains("An adapter on model.layers.0.self_attn.qkv has 3 parameters; its layout needs"));
  CHECK_THAT(error_with([](auto& a) { std::swap(a.groups[0], a.groups[3]); }),
             Catch::Contains("has rank 4 and 56 inputs"));
  CHECK_THAT(error_with([](auto& a) { a.groups[0][0].gate = at::ones({2}); }), Catch::Contains("gate has 2 values"));
  CHECK_THAT(error_with([](auto& a) { a.weights.push_back({.linear = 99, .delta = at::zeros({1})}); }),
             Catch::Contains("names linear 99; the model has 21"));
  CHECK_THAT(error_with([](auto& a) {
               a.weights.push_back({.linear = 0, .delta = at::zeros({4, 4})});
             }),
             Catch::Contains("model.layers.0.self_attn.q_proj has another shape than [48, 40]"));
}
