#include "core/adapter/bank.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "core/adapter/state.h"
#include "core/base/error.h"
#include "core/model/batch.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/toy.h"

using namespace mneme;
using Catch::Contains;

namespace {
LoraOptions lora(std::int64_t rank = 2, std::vector<std::string> targets = {"q_proj", "v_proj", "down_proj"}) {
  return {.rank = rank, .alpha = 6, .dropout = 0, .targets = std::move(targets), .first_layer = 0};
}

void randomise(at::Tensor values, std::uint64_t seed) {
  RandomStream rng(seed, "bank-test");
  for (std::int64_t i = 0; i < values.numel(); ++i) values.data_ptr<float>()[i] = static_cast<float>(0.3 * rng.normal());
}

/// A bank on a fresh toy model.
struct Bench {
  explicit Bench(std::uint64_t seed = 1) : model(test::toy_model(seed)), bank(model) {}

  /// A low-rank adapter whose B is not zero.
  AdapterId random_lora(const std::string& name, std::uint64_t seed, const LoraOptions& options = lora()) {
    RandomStream rng(seed, "a");
    const AdapterId id = bank.create_lora(name, options, rng);
    randomise(bank.values(id), seed);
    return id;
  }
  at::Tensor logits(const ForwardSpec& spec, const Dataset& samples) const {
    const Batch batch = make_batch(samples);
    const model::ActiveAdapters adapters = bank.resolve(spec);
    model::ForwardRequest request;
    request.batch = &batch.packed;
    request.adapters = &adapters;
    request.want_logits = true;
    return model->forward(request).logits;
  }
  at::Tensor loss(const ForwardSpec& spec, const Dataset& samples) const {
    const Batch batch = make_batch(samples);
    const model::ActiveAdapters adapters = bank.resolve(spec);
    model::ForwardRequest request;
    request.batch = &batch.packed;
    request.adapters = &adapters;
    request.want_losses = true;
    return model->forward(request).losses.mean();
  }

  std::shared_ptr<model::Transformer> model;
  AdapterBank bank;
};

double gap(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>() / b.abs().max().item<double>();
}

Dataset samples() { return test::toy_samples(1, 6); }

/// The model's weight of a linear, as a leaf-free copy.
at::Tensor weight_of(const model::Transformer& model, const std::string& linear) {
  for (const auto& [name, weight] : model.weights())
    if (name == linear + ".weight") return weight.detach().clone();
  throw std::runtime_error("no weight " + linear);
}

/// The toy model with weights W + delta, by Hugging Face's names.
std::shared_ptr<model::Transformer> changed(const std::map<std::string, at::Tensor>& deltas) {
  auto model = test::toy_model();
  std::vector<std::pair<std::string, at::Tensor>> weights;
  for (const auto& [name, weight] : model->weights()) {
    const auto it = deltas.find(name);
    weights.emplace_back(name, it == deltas.end() ? weight.detach().clone() : weight.detach() + it->second);
  }
  model->bind_weights(weights);
  return model;
}
}  // namespace

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

TEST_CASE("the trained parameters lie end to end without gaps, in the order asked for", "[bank]") {
  Bench bench;
  const AdapterId first = bench.random_lora("first", 1), second = bench.random_lora("second", 2, lora(3));
  const AdapterId free = bench.bank.create_free("free", {2, 5});
  randomise(bench.bank.values(free), 9);
  const std::map<AdapterId, at::Tensor> before = {{first, bench.bank.values(first).clone()},
                                                  {second, bench.bank.values(second).clone()},
                                                  {free, bench.bank.values(free).clone()}};
  for (const std::vector<AdapterId>& order :
       {std::vector{second, free, first}, std::vector{free}, std::vector<AdapterId>{}, std::vector{first, second}}) {
    bench.bank.set_trainable(order);
    CHECK(bench.bank.trainable() == order);
    std::vector<at::Tensor> expected;
    for (const AdapterId id : order) expected.push_back(before.at(id));
    if (!order.empty()) CHECK(at::equal(bench.bank.values(), at::cat(expected)));
    CHECK(bench.bank.gradient().numel() == bench.bank.values().numel());
    std::int64_t offset = 0;
    for (const ParameterView& view : bench.bank.views()) {
      CHECK(view.offset == offset);
      offset += view.size();
      CHECK(at::equal(bench.bank.tensor(view.adapter, view), view.of(bench.bank.values())));
    }
    CHECK(offset == bench.bank.values().numel());
    std::int64_t leaves = 0;
    for (const at::Tensor& leaf : bench.bank.leaves()) leaves += leaf.numel();
    CHECK(leaves == offset);
    // Those that are not trained keep their values, too.
    for (const auto& [id, values] : before) CHECK(at::equal(bench.bank.values(id), values));
  }
}

TEST_CASE("a parameter is found by its view, whether the view comes from its adapter or from all", "[bank]") {
  Bench bench;
  const AdapterId first = bench.random_lora("first", 1), second = bench.random_lora("second", 2);
  bench.bank.set_trainable({first, second});
  for (const ParameterView& view : bench.bank.views(second))
    CHECK(at::equal(bench.bank.tensor(second, view), view.of(bench.bank.values(second))));
  for (const ParameterView& view : bench.bank.views())
    CHECK(at::equal(bench.bank.tensor(view.adapter, view), view.of(bench.bank.values())));
  const ParameterView foreign = bench.bank.views(first).front();
  CHECK_THROWS_WITH(bench.bank.tensor(second, foreign), Contains(foreign.name) && Contains("'second'"));
  CHECK(bench.bank.tensor(first, foreign).requires_grad());
  bench.bank.set_trainable({});
  CHECK_FALSE(bench.bank.tensor(first, foreign).requires_grad());
}

TEST_CASE("gradients land in the flat gradient, equal to finite differences, and add up", "[bank]") {
  Bench bench;
  const AdapterId first = bench.random_lora("first", 1), second = bench.random_lora("second", 2);
  bench.bank.set_trainable({second, first});
  const ForwardSpec spec = with_adapters({first, second});
  bench.loss(spec, samples()).backward();
  const at::Tensor once = bench.bank.gradient().clone();
  RandomStream rng(4, "direction");
  at::Tensor direction = at::empty_like(once);
  for (std::int64_t i = 0; i < direction.numel(); ++i) direction.data_ptr<float>()[i] = static_cast<float>(rng.normal());
  const at::Tensor start = bench.bank.values().clone();
  const auto moved = [&](double step) {
    at::NoGradGuard off;
    bench.bank.values().copy_(start + step * direction);
    return bench.loss(spec, samples()).item<double>();
  };
  const double h = 1e-3, expected = (moved(h) - moved(-h)) / (2 * h);
  bench.bank.values().copy_(start);
  CHECK(once.dot(direction).item<double>() == Approx(expected).epsilon(0.02));
  bench.loss(spec, samples()).backward();
  CHECK(gap(bench.bank.gradient(), 2 * once) < 1e-5);
  // The leaves see the same storage.
  for (const at::Tensor& leaf : bench.bank.leaves()) CHECK(leaf.grad().defined());
  bench.bank.gradient().zero_();
  for (const at::Tensor& leaf : bench.bank.leaves()) CHECK(leaf.grad().abs().max().item<float>() == 0);
}

TEST_CASE("an update of the flat vector is what the next forward sees", "[bank]") {
  Bench bench;
  const AdapterId id = bench.random_lora("one", 1), twin = bench.random_lora("two", 2);
  bench.bank.set_trainable({id});
  bench.bank.values().copy_(bench.bank.values(twin));
  CHECK(at::equal(bench.logits(with_adapters({id}), samples()), bench.logits(with_adapters({twin}), samples())));
}

TEST_CASE("interpolation and copies, on trained and other adapters", "[bank]") {
  Bench bench;
  const AdapterId fast = bench.random_lora("fast", 1), slow = bench.bank.clone(fast, "slow");
  CHECK(at::equal(bench.bank.values(fast), bench.bank.values(slow)));
  CHECK(bench.bank.name(slow) == "slow");
  CHECK(bench.bank.lora_options(slow)->alpha == 6);
  randomise(bench.bank.values(slow), 5);
  CHECK_FALSE(at::equal(bench.bank.values(fast), bench.bank.values(slow)));
  const at::Tensor a = bench.bank.values(slow).clone(), b = bench.bank.values(fast).clone();
  bench.bank.set_trainable({slow});
  bench.bank.interpolate(slow, fast, 0.9);
  CHECK(gap(bench.bank.values(), 0.9 * a + 0.1 * b) < 1e-6);
  CHECK(at::equal(bench.bank.values(fast), b));
  bench.bank.interpolate(slow, fast, 1.0);
  CHECK(gap(bench.bank.values(), 0.9 * a + 0.1 * b) < 1e-6);
  bench.bank.copy(slow, fast);
  CHECK(at::equal(bench.bank.values(), b));
  const AdapterId other = bench.random_lora("other", 3, lora(4));
  CHECK_THROWS_WITH(bench.bank.interpolate(slow, other, 0.5), Contains("'slow'") && Contains("'other'"));
}

TEST_CASE("names are unique, ids are never used twice, the trained cannot be removed", "[bank]") {
  Bench bench;
  const AdapterId first = bench.random_lora("first", 1), second = bench.random_lora("second", 2);
  CHECK_THROWS_WITH(bench.bank.clone(second, "first"), Contains("named 'first' already"));
  CHECK(bench.bank.find("second") == second);
  CHECK_THROWS_WITH(bench.bank.find("secund"), Contains("'secund'") && Contains("'second'"));
  bench.bank.set_trainable({second});
  CHECK_THROWS_WITH(bench.bank.remove(second), Contains("'second' is being trained"));
  bench.bank.set_trainable({first});
  bench.bank.remove(second);
  CHECK(bench.bank.ids() == std::vector<AdapterId>{first});
  CHECK_THROWS_WITH(bench.bank.values(second), Contains(std::to_string(second)));
  const AdapterId third = bench.random_lora("second", 4);
  CHECK(third > second);
  // A choice that cannot be made changes nothing.
  const at::Tensor values = bench.bank.values();
  CHECK_THROWS_WITH(bench.bank.set_trainable({third, third}), Contains("'second' is named twice"));
  CHECK_THROWS_AS(bench.bank.set_trainable({third, second}), Error);
  CHECK(bench.bank.trainable() == std::vector<AdapterId>{first});
  CHECK(bench.bank.values().data_ptr() == values.data_ptr());
}

TEST_CASE("targets and layers: what exists is adapted, what does not is named", "[bank]") {
  Bench bench;
  RandomStream rng(1, "targets");
  LoraOptions upper = lora(2, {"all-linear"});
  upper.first_layer = 1;
  const AdapterId id = bench.bank.create_lora("upper", upper, rng);
  CHECK(bench.bank.views(id).size() == 14);
  for (const ParameterView& view : bench.bank.views(id)) CHECK(view.name.find("layers.1.") != std::string::npos);
  CHECK_THROWS_WITH(bench.bank.create_lora("bad", lora(2, {"q_prj"}), rng), Contains("'q_prj'") && Contains("'q_proj'"));
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

TEST_CASE("digests are equal exactly where forwards are: kind, options, positions and values count", "[bank]") {
  Bench bench;
  const AdapterId id = bench.random_lora("one", 1), same = bench.bank.clone(id, "same");
  CHECK(bench.bank.digest(id) == bench.bank.digest(same));
  LoraOptions louder = lora();
  louder.alpha = 12;
  const AdapterId loud = bench.random_lora("loud", 1, louder);
  CHECK(at::equal(bench.bank.values(loud), bench.bank.values(id)));
  CHECK(bench.bank.digest(loud) != bench.bank.digest(id));
  const AdapterId left = bench.bank.create_sparse("left", {{0, at::tensor({1L})}});
  const AdapterId right = bench.bank.create_sparse("right", {{0, at::tensor({2L})}});
  CHECK(bench.bank.digest(left) != bench.bank.digest(right));
  bench.bank.values(same)[0] += 1;
  CHECK(bench.bank.digest(id) != bench.bank.digest(same));
}

TEST_CASE("a bank saved and loaded is the same bank: kinds, options, values, what is trained", "[bank]") {
  const test::TemporaryDirectory directory("bank");
  Bench bench, other;
  LoraOptions options = lora(3, {"all-linear"});
  options.dropout = 0.25;
  options.first_layer = 1;
  const AdapterId first = bench.random_lora("first", 1), removed = bench.random_lora("removed", 2);
  const AdapterId second = bench.random_lora("second", 3, options);
  const AdapterId sparse = bench.bank.create_sparse("sparse", {{2, at::tensor({5L, 1L})}});
  const AdapterId free = bench.bank.create_free("free", {2, 3});
  bench.bank.remove(removed);
  bench.bank.set_trainable({second, sparse});
  randomise(bench.bank.values(), 6);
  randomise(bench.bank.values(free), 7);
  StateSaver saver;
  saver.object("bank", bench.bank);
  saver.write(directory / "bank");
  other.random_lora("something else", 9);
  other.bank.set_trainable({1});
  StateLoader loader(directory / "bank");
  loader.object("bank", other.bank);
  CHECK(other.bank.ids() == std::vector<AdapterId>{first, second, sparse, free});
  CHECK(other.bank.trainable() == std::vector<AdapterId>{second, sparse});
  CHECK(at::equal(other.bank.values(), bench.bank.values()));
  for (const AdapterId id : bench.bank.ids()) {
    CHECK(other.bank.name(id) == bench.bank.name(id));
    CHECK(other.bank.digest(id) == bench.bank.digest(id));
  }
  CHECK(other.bank.lora_options(second)->dropout == 0.25);
  CHECK(other.bank.lora_options(second)->first_layer == 1);
  const ForwardSpec spec = with_adapters({first, second, sparse});
  CHECK(at::equal(other.logits(spec, samples()), bench.logits(spec, samples())));
  other.loss(spec, samples()).backward();
  CHECK(other.bank.gradient().abs().max().item<float>() > 0);
  CHECK(other.random_lora("next", 8) == free + 1);
}

TEST_CASE("full weights saved and loaded are the model's", "[bank]") {
  const test::TemporaryDirectory directory("full");
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
