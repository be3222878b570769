#include <ATen/ATen.h>

#include <cmath>
#include <map>

#include "core/adapter/bank.h"
#include "core/adapter/state.h"
#include "core/base/error.h"
#include "tests/core/adapter/bank_support.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"

using namespace mneme;
using namespace mneme::test;
using Catch::Contains;

TEST_CASE("a new low-rank adapter changes nothing: A is uniform within 1/sqrt(in), B zero", "[bank]") {
  Bench bench;
  RandomStream rng(3, "start");
  const AdapterId id = bench.bank.create_lora("fresh", lora(8), rng);
  std::int64_t linears = 0;
  for (const ParameterView& view : bench.bank.views(id)) {
    const at::Tensor value = view.of(bench.bank.values(id));
    if (view.role == ParameterRole::kLoraB) {
      CHECK(value.abs().max().item<float>() == 0);
      continue;
    }
    ++linears;
    const double bound = 1 / std::sqrt(static_cast<double>(view.shape[1]));
    CHECK(value.abs().max().item<double>() <= bound);
    CHECK(value.abs().max().item<double>() > 0.9 * bound);
    CHECK(value.std().item<double>() == Approx(bound / std::sqrt(3)).epsilon(0.2));
  }
  CHECK(linears == 6);
  CHECK(gap(bench.logits(with_adapters({id}), samples()), bench.logits({}, samples())) < 1e-6);
}

TEST_CASE("a low-rank adapter is W + alpha / rank B A", "[bank]") {
  Bench bench;
  const AdapterId id = bench.random_lora("one", 7);
  std::map<std::string, at::Tensor> a, deltas;
  for (const ParameterView& view : bench.bank.views(id)) {
    const std::string linear = bench.model->linears()[static_cast<std::size_t>(view.linear)].name;
    const at::Tensor value = view.of(bench.bank.values(id)).detach();
    CHECK(view.name == "one/" + linear + (view.role == ParameterRole::kLoraA ? ".lora_A" : ".lora_B"));
    if (view.role == ParameterRole::kLoraA)
      a[linear] = value;
    else
      deltas[linear + ".weight"] = 6.0 / 2 * at::mm(value, a.at(linear));
  }
  Bench plain;
  plain.model = changed(deltas);
  const at::Tensor with = bench.logits(with_adapters({id}), samples());
  CHECK(gap(with, plain.logits({}, samples())) < 1e-5);
  CHECK(gap(with, bench.logits({}, samples())) > 1e-2);
}

TEST_CASE("targets and layers: what exists is adapted, what does not is named", "[bank]") {
  Bench bench;
  RandomStream rng(1, "targets");
  LoraOptions upper = lora(2, {"all-linear"});
  upper.first_layer = 1;
  const AdapterId id = bench.bank.create_lora("upper", upper, rng);
  CHECK(bench.bank.views(id).size() == 14);
  for (const ParameterView& view : bench.bank.views(id)) CHECK(view.name.find("layers.1.") != std::string::npos);
  CHECK_THROWS_WITH(bench.bank.create_lora("bad", lora(2, {"q_prj"}), rng),
                    Contains("'q_prj'") && Contains("'q_proj'"));
  LoraOptions none = lora();
  none.first_layer = 2;
  CHECK_THROWS_WITH(bench.bank.create_lora("none", none, rng), Contains("'none'") && Contains("layer 2"));
  CHECK_THROWS_AS(bench.bank.create_lora("flat", lora(0), rng), Error);
  CHECK(bench.bank.ids().size() == 1);
}

TEST_CASE("gates choose adapters per sequence: the same as a forward of each sequence by itself", "[bank]") {
  Bench bench;
  const AdapterId first = bench.random_lora("first", 1), second = bench.random_lora("second", 2);
  const Dataset all = samples();
  const std::vector<std::pair<float, float>> gates = {{1, 0}, {0, 1}, {0.25F, 0.75F}, {0, 0}, {-1, 2}, {1, 1}};
  ForwardSpec spec;
  at::Tensor a = at::empty({6}), b = at::empty({6});
  for (std::size_t i = 0; i < 6; ++i) {
    a[static_cast<std::int64_t>(i)] = gates[i].first;
    b[static_cast<std::int64_t>(i)] = gates[i].second;
  }
  spec.adapters = {{first, 1.0, a}, {second, 0.5, b}};
  const at::Tensor together = bench.logits(spec, all);
  std::int64_t row = 0;
  for (std::size_t i = 0; i < 6; ++i) {
    ForwardSpec alone;
    alone.adapters = {{first, gates[i].first, {}}, {second, 0.5 * gates[i].second, {}}};
    const at::Tensor expected = bench.logits(alone, {all[i]});
    INFO("sequence " << i);
    CHECK(gap(together.narrow(0, row, expected.size(0)), expected) < 1e-5);
    row += expected.size(0);
  }
  CHECK(row == together.size(0));
}

TEST_CASE("gates have gradients", "[bank]") {
  Bench bench;
  const AdapterId id = bench.random_lora("one", 1);
  at::Tensor gate = at::full({6}, 0.5F).requires_grad_(true);
  ForwardSpec spec;
  spec.adapters = {{id, 1.0, gate}};
  bench.loss(spec, samples()).backward();
  at::Tensor shift = at::zeros({6});
  for (const std::int64_t i : {0, 3, 5}) {
    const auto loss_at = [&](float value) {
      at::Tensor moved = at::full({6}, 0.5F);
      moved[i] = value;
      spec.adapters[0].gate = moved;
      return bench.loss(spec, samples()).item<double>();
    };
    const double expected = (loss_at(0.51F) - loss_at(0.49F)) / 0.02;
    CHECK(std::abs(gate.grad()[i].item<double>() - expected) < 0.02 * gate.grad().abs().max().item<double>());
  }
}

TEST_CASE("a sparse adapter adds its values at its positions, gated like any other", "[bank]") {
  Bench bench;
  const std::string linear = "model.layers.1.self_attn.o_proj";
  std::int64_t index = 0;
  while (bench.model->linears()[static_cast<std::size_t>(index)].name != linear) ++index;
  const AdapterId id = bench.bank.create_sparse("sparse", {{index, at::tensor({3L, 40L, 255L})}});
  CHECK(gap(bench.logits(with_adapters({id}), samples()), bench.logits({}, samples())) < 1e-6);
  bench.bank.set_trainable({id});
  bench.bank.values().copy_(at::tensor({1.5F, -2.0F, 0.5F}));
  at::Tensor delta = at::zeros({16 * 16});
  delta[3] = 1.5, delta[40] = -2.0, delta[255] = 0.5;
  delta = delta.view({16, 16});
  Bench plain;
  plain.model = changed({{linear + ".weight", 0.5 * delta}});
  ForwardSpec half;
  half.adapters = {{id, 0.5, {}}};
  CHECK(gap(bench.logits(half, samples()), plain.logits({}, samples())) < 1e-5);
  ForwardSpec gated;
  gated.adapters = {{id, 1.0, at::full({6}, 0.5F)}};
  CHECK(gap(bench.logits(gated, samples()), plain.logits({}, samples())) < 1e-5);
  // Its gradient is the dense gradient at the positions.
  bench.loss(half, samples()).backward();
  at::Tensor dense = weight_of(*plain.model, linear).requires_grad_(true);
  auto bound = plain.model->weights();
  for (auto& [name, weight] : bound) weight = name == linear + ".weight" ? dense : weight.detach();
  plain.model->bind_weights(bound);
  plain.loss({}, samples()).backward();
  CHECK(gap(bench.bank.gradient(), 0.5 * dense.grad().flatten().index_select(0, at::tensor({3L, 40L, 255L}))) < 1e-4);
  CHECK_THROWS_WITH(bench.bank.create_sparse("outside", {{index, at::tensor({256L})}}), Contains("outside the weight"));
  CHECK_THROWS_WITH(bench.bank.create_sparse("twice", {{index, at::tensor({1L})}, {index, at::tensor({2L})}}),
                    Contains(linear + " is there twice"));
}

TEST_CASE("the full adapter is the model: its values move it, its gradient is the model's", "[bank]") {
  Bench bench, twin;
  const at::Tensor before = bench.logits({}, samples());
  const AdapterId id = bench.bank.create_full("model");
  bench.bank.set_trainable({id});
  CHECK(bench.bank.values().numel() == bench.model->parameter_count());
  CHECK(gap(bench.logits(with_adapters({id}), samples()), before) < 1e-6);
  bench.loss(with_adapters({id}), samples()).backward();
  std::vector<std::pair<std::string, at::Tensor>> leaves;
  for (const auto& [name, weight] : twin.model->weights())
    leaves.emplace_back(name, weight.detach().clone().requires_grad_(true));
  twin.model->bind_weights(leaves);
  twin.loss({}, samples()).backward();
  const auto views = bench.bank.views();
  REQUIRE(views.size() == leaves.size());
  for (std::size_t i = 0; i < views.size(); ++i) {
    INFO(views[i].name);
    CHECK(gap(views[i].of(bench.bank.gradient()), leaves[i].second.grad()) < 1e-4);
  }
  bench.bank.values().mul_(0.9);
  CHECK(gap(bench.logits({}, samples()), before) > 1e-2);
  CHECK_THROWS_WITH(bench.bank.create_full("again"), Contains("'model' already"));
  CHECK_THROWS_WITH(bench.bank.clone(id, "copy"), Contains("cannot be cloned"));
}

TEST_CASE("a free parameter is used through tensor(), never by itself", "[bank]") {
  Bench bench;
  const AdapterId id = bench.bank.create_free("prompt", {3, 16});
  CHECK_THROWS_WITH(bench.bank.resolve(with_adapters({id})), Contains("'prompt' is a free parameter"));
  bench.bank.set_trainable({id});
  const ParameterView view = bench.bank.views().front();
  CHECK(view.shape == std::vector<std::int64_t>{3, 16});
  ForwardSpec spec;
  spec.prefix = bench.bank.tensor(id, view).unsqueeze(0).expand({6, 3, 16});
  bench.loss(spec, samples()).backward();
  CHECK(bench.bank.gradient().abs().max().item<float>() > 0);
}

TEST_CASE("full weights saved and loaded are the model's", "[bank]") {
  const TemporaryDirectory directory("full");
  Bench bench, other;
  bench.bank.set_trainable({bench.bank.create_full("model")});
  bench.bank.values().mul_(1.1);
  StateSaver saver;
  saver.object("bank", bench.bank);
  saver.write(directory / "bank");
  for (const bool trained_before : {false, true}) {
    Bench fresh;
    if (trained_before) fresh.bank.set_trainable({fresh.bank.create_full("model")});
    StateLoader loader(directory / "bank");
    loader.object("bank", fresh.bank);
    CHECK(at::equal(fresh.logits({}, samples()), bench.logits({}, samples())));
    fresh.bank.values().mul_(0.5);
    CHECK(gap(fresh.logits({}, samples()), bench.logits({}, samples())) > 1e-2);
  }
}
