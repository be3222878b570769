#include "core/adapter/bank.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <map>

#include "core/adapter/state.h"
#include "core/base/error.h"
#include "tests/core/adapter/bank_support.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"

using namespace mneme;
using namespace mneme::test;
using Catch::Contains;

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
  for (std::int64_t i = 0; i < direction.numel(); ++i)
    direction.data_ptr<float>()[i] = static_cast<float>(rng.normal());
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
  const TemporaryDirectory directory("bank");
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
