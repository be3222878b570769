#include "core/strategy/prompt_features.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <unistd.h>

#include <filesystem>

#include "core/strategy/routing_check.h"
#include "tests/support/catch.h"
#include "tests/support/toy.h"

using namespace mneme;
using namespace mneme::test;

namespace {
/// A learner on the toy model whose caches lie in a directory of the test.
struct Fixture {
  explicit Fixture(std::filesystem::path cache = {})
      : learner(toy_model(), LearnerOptions{1, {}, 4, 4, std::move(cache)}, sink) {}
  VectorSink sink;
  Learner learner;
};
}  // namespace

TEST_CASE("an eighth of the layers is shared", "[features]") {
  CHECK(default_shared_layers(toy_model()->config()) == 0);
}

TEST_CASE("features are the mean of normalised hidden states of the prompt alone", "[features]") {
  Fixture f;
  const Dataset data = toy_samples(1, 5);
  for (const std::int64_t layer : {0, 1}) {
    const at::Tensor features = prompt_features(f.learner, prompts_of(data), layer);
    REQUIRE(features.sizes().vec() == std::vector<std::int64_t>{5, 16});
    for (std::size_t i = 0; i < data.size(); ++i) {
      ForwardSpec spec;
      spec.end_layer = layer;
      const at::Tensor states = f.learner.forward(spec, make_batch({data[i]})).hidden.front();
      at::Tensor mean = at::zeros({16}, at::kDouble);
      for (std::int64_t t = 0; t < data[i]->first_label; ++t) {
        const at::Tensor h = states[t].to(at::kDouble);
        mean += h / h.square().mean().sqrt() / static_cast<double>(data[i]->first_label);
      }
      // The order of summation may differ, the prompt's neighbours in a batch must not matter.
      CHECK((features[static_cast<std::int64_t>(i)].to(at::kDouble) - mean).abs().max().item<double>() < 1e-6);
      const at::Tensor alone = prompt_features(f.learner, prompts_of({data[i]}), layer);
      CHECK((features[static_cast<std::int64_t>(i)] - alone[0]).abs().max().item<double>() < 1e-6);
    }
  }
}

TEST_CASE("training resumes from shared states with the same losses and gradients", "[features]") {
  Fixture f;
  f.learner.bank().set_trainable({f.learner.create_adapter("upper", "default", 1)});
  f.learner.bank().values().add_(0.05);  // B = 0 would hide the adapter
  const Dataset data = toy_samples(1, 7);
  const Batch batch = make_batch({data[2], data[6], data[0]});
  const auto gradient = [&](const ForwardSpec& spec) { return f.learner.gradient_on(spec, batch).clone(); };
  const at::Tensor whole = gradient(f.learner.active());
  REQUIRE(whole.abs().max().item<float>() > 0);
  for (const std::int64_t budget : {std::int64_t{1} << 20, std::int64_t{0}}) {
    SharedStates states(1, budget);
    const at::Tensor features = states.hold(f.learner, data);
    CHECK(at::equal(features, prompt_features(f.learner, prompts_of(data), 1)));
    const ForwardSpec resumed = states.resumed(f.learner, f.learner.active(), batch);
    CHECK(resumed.first_layer == 1);
    CHECK(at::allclose(gradient(resumed), whole, 1e-5, 1e-8));
    CHECK(f.learner.cross_entropy(resumed, batch).value.item<float>() ==
          Approx(f.learner.cross_entropy(f.learner.active(), batch).value.item<float>()).epsilon(1e-6));
  }
}

TEST_CASE("prompts asked for again with others behind them are not computed again", "[features]") {
  Fixture f;
  Dataset data = toy_samples(1, 256);
  const at::Tensor first = prompt_features(f.learner, prompts_of(data), 1);
  const double before = f.learner.work().flops;
  CHECK(at::equal(prompt_features(f.learner, prompts_of(data), 1), first));
  CHECK(f.learner.work().flops == before);
  const SamplePtr last = toy_samples(2, 1).front();
  data.push_back(last);
  CHECK(at::equal(prompt_features(f.learner, prompts_of(data), 1).narrow(0, 0, 256), first));
  const double one = f.learner.work().flops - before;
  Fixture alone;
  prompt_features(alone.learner, prompts_of({last}), 1);
  CHECK(one == alone.learner.work().flops);
  CHECK(prompt_features(f.learner, {}, 1).sizes().vec() == std::vector<std::int64_t>{0, 16});
}

TEST_CASE("rows whose gate is closed are left out without a trace", "[features]") {
  Fixture f;
  std::vector<AdapterId> ids;
  RandomStream rng(4, "adapters");
  for (const char* name : {"a", "b"}) {
    ids.push_back(f.learner.bank().create_lora(name, {.rank = 3, .targets = {"all-linear"}}, rng));
    at::Tensor values = f.learner.bank().values(ids.back());
    for (std::int64_t i = 0; i < values.numel(); ++i)
      values.data_ptr<float>()[i] = static_cast<float>(0.1 * rng.normal());
  }
  f.learner.bank().set_trainable(ids);  // with gradients on, every row is computed
  const Batch batch = make_batch(toy_samples(1, 5));
  ForwardSpec spec = with_mixture(ids, at::tensor({1.F, 0.F, 0.F, 1.F, 0.F, 0.F, 0.5F, 0.25F, 0.F, 2.F}).view({5, 2}));
  spec.want_logits = true;
  const at::Tensor whole = f.learner.forward(spec, batch).logits.detach();
  at::NoGradGuard off;
  CHECK(at::equal(f.learner.forward(spec, batch).logits, whole));
}

TEST_CASE("a prompt is answered again only if an open adapter of its own has changed", "[features]") {
  Fixture f;
  RandomStream rng(4, "adapters");
  std::vector<AdapterId> ids;
  for (const char* name : {"a", "b"}) ids.push_back(f.learner.bank().create_lora(name, {}, rng));
  PromptBatch prompts = prompts_of(toy_samples(1, 4));
  for (auto& job : prompts.prompts) job.max_new_tokens = 2;
  const std::vector<AdapterId> chosen = {ids[0], ids[1], 0, ids[1]};
  const auto answers = f.learner.generate(with_adapter_each(chosen), prompts);
  const double before = f.learner.work().flops;
  const auto cost_of = [&](const ForwardSpec& spec) {
    const double start = f.learner.work().flops;
    CHECK(f.learner.generate(spec, prompts).size() == 4);
    return f.learner.work().flops - start;
  };
  CHECK(f.learner.generate(with_adapter_each(chosen), prompts) == answers);
  CHECK(f.learner.work().flops == before);
  f.learner.bank().values(ids[0]).add_(0.01);
  const double one = cost_of(with_adapter_each(chosen));
  CHECK(one > 0);
  CHECK(one < 0.6 * before);
  CHECK(cost_of(with_adapter_each({ids[0], ids[1], 0, 0})) < 0.6 * before);
}

TEST_CASE("cached tensors are computed once, outlive the run and survive a broken file", "[features]") {
  const auto cache = std::filesystem::temp_directory_path() / fmt::format("mneme-cache-{}", ::getpid());
  int computed = 0;
  const auto compute = [&] { return ++computed, at::ones({2, 3}, at::kFloat) * 7; };
  const auto get = [&](const std::string& key) { return Fixture(cache).learner.cached(key, compute); };
  CHECK(at::equal(get("a"), at::ones({2, 3}) * 7));
  CHECK(get("a").sum().item<float>() == 42);
  CHECK(computed == 1);
  get("b");
  CHECK(computed == 2);
  for (const auto& file : std::filesystem::recursive_directory_iterator(cache))
    if (file.is_regular_file()) std::filesystem::resize_file(file.path(), 9);
  CHECK(get("a").sum().item<float>() == 42);
  CHECK(computed == 3);
  std::filesystem::remove_all(cache);
  Fixture memory;
  memory.learner.cached("a", compute);
  memory.learner.cached("a", compute);
  CHECK(computed == 4);
}

TEST_CASE("the check counts where prompts of each task go", "[features]") {
  Fixture f;
  RoutingCheck check;
  check.add(3, at::tensor({3.F, 3.F, 7.F}).unsqueeze(1));
  check.add(7, at::tensor({7.F}).unsqueeze(1));
  check.report(f.learner, [](const at::Tensor& features) {
    std::vector<std::int64_t> chosen;
    for (std::int64_t i = 0; i < features.size(0); ++i) chosen.push_back(features[i][0].item<std::int64_t>());
    return chosen;
  });
  REQUIRE(f.sink.arrays.size() == 1);
  CHECK(f.sink.arrays[0].name == "router/confusion/2");
  CHECK(f.sink.arrays[0].shape == std::vector<std::int64_t>{2, 2});
  CHECK(f.sink.arrays[0].values == std::vector<double>{2, 1, 0, 1});
  CHECK(f.sink.term_values("router/accuracy") == std::vector<double>{0.75});
}
