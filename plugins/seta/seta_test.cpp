#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "core/base/error.h"
#include "core/strategy/prompt_features.h"
#include "tests/support/catch.h"
#include "tests/support/toy.h"

using namespace mneme;
using namespace mneme::test;

namespace {
using Changes = std::map<std::string, ParamValue>;

ToyOptions toy(std::int64_t tasks) {
  ToyOptions options;
  options.tasks = tasks;
  return options;
}

Changes with(const std::string& backend, Changes more = {}) {
  more["backend"] = backend;
  more.emplace("density", 0.1);
  more.emplace("gate_lambda", 0.1);
  return more;
}

AdapterId adapter_of(ToyRun& run, std::int64_t task) {
  return run.learner().bank().find("task" + std::to_string(task));
}

at::Tensor logits(ToyRun& run, std::int64_t task) {
  ForwardSpec spec = with_adapters({adapter_of(run, task)});
  spec.want_logits = true;
  at::NoGradGuard off;
  return run.learner().forward(spec, make_batch(toy_samples(task, 6))).logits;
}

/// The plugin's state, as any outsider can see it: what visit_state() names.
class Collector final : public StateVisitor {
 public:
  std::map<std::string, at::Tensor> tensors;

 protected:
  void on_tensor(const std::string& path, at::Tensor& value) override {
    if (value.defined()) tensors[path] = value.clone();
  }
  void on_integer(const std::string&, std::int64_t&) override {}
  void on_real(const std::string&, double&) override {}
  void on_text(const std::string&, std::string&) override {}
};

std::map<std::string, at::Tensor> state_of(ToyRun& run) {
  Collector collector;
  collector.object("s", run.strategy());
  return collector.tensors;
}

at::Tensor ids_of(ToyRun& run, std::int64_t task, std::int64_t linear) {
  return state_of(run).at(fmt::format("s/units/{}/ids/{}", task, linear));
}

std::int64_t linears_of(ToyRun& run) {
  std::int64_t count = 0;
  for (const auto& [name, value] : state_of(run)) count += name.starts_with("s/units/1/ids/");
  return count;
}

/// Values of a task's units of one linear: a row each.
at::Tensor units_of(ToyRun& run, std::int64_t task, std::int64_t linear) {
  const AdapterBank& bank = run.learner().bank();
  const AdapterId id = adapter_of(run, task);
  std::vector<std::int64_t> order;
  std::map<std::int64_t, std::vector<at::Tensor>> parts;
  for (const ParameterView& view : bank.views(id)) {
    if (!parts.contains(view.linear)) order.push_back(view.linear);
    const at::Tensor part = view.of(bank.values(id).detach());
    parts[view.linear].push_back(view.role == ParameterRole::kLoraB ? part.t()
                                 : part.dim() == 1                  ? part.unsqueeze(1)
                                                                    : part);
  }
  return at::cat(parts.at(order.at(static_cast<std::size_t>(linear))), 1).clone();
}
}  // namespace

TEST_CASE("a unit that two tasks hold has one value, and sharing lets parameters grow slowly", "[seta]") {
  for (const char* backend : {"components", "elements"}) {
    INFO(backend);
    const auto run = trained("seta", with(backend), toy(3));
    std::int64_t shared = 0;
    for (std::int64_t i = 0; i < linears_of(*run); ++i) {
      for (std::int64_t s = 1; s <= 3; ++s) {
        const at::Tensor ids = ids_of(*run, s, i), own = units_of(*run, s, i);
        REQUIRE(std::get<0>(at::_unique(ids)).numel() == ids.numel());
        REQUIRE(own.size(0) == ids.numel());
        for (std::int64_t t = s + 1; t <= 3; ++t) {
          const at::Tensor others = ids_of(*run, t, i), values = units_of(*run, t, i);
          for (std::int64_t a = 0; a < ids.numel(); ++a) {
            for (std::int64_t b = 0; b < others.numel(); ++b) {
              if (ids[a].item<std::int64_t>() != others[b].item<std::int64_t>()) continue;
              ++shared;
              CHECK(at::equal(own[a], values[b]));
            }
          }
        }
      }
    }
    CHECK(shared > 0);
    const auto parameters = run->sink.term_values("seta/parameters");
    REQUIRE(parameters.size() == 3);
    CHECK(parameters[0] == static_cast<double>(run->learner().bank().values(adapter_of(*run, 1)).numel()));
    CHECK(parameters[2] < 3 * parameters[0]);
    CHECK(run->sink.term_values("seta/shared_parameters").back() > 0);
  }
}

TEST_CASE("choosing a new task's units leaves every old task's logits bitwise as they were", "[seta]") {
  for (const char* backend : {"components", "elements"}) {
    INFO(backend);
    ToyRun run(make_strategy("seta", with(backend)), toy(3));
    run.train_stage(1);
    run.train_stage(2);
    const at::Tensor first = logits(run, 1), second = logits(run, 2);
    run.strategy().before_task(run.learner(), run.view(3));
    CHECK(at::equal(logits(run, 1), first));
    CHECK(at::equal(logits(run, 2), second));
  }
}

TEST_CASE("seta works on an encoder-decoder", "[seta]") {
  for (const char* backend : {"components", "elements"}) {
    INFO(backend);
    ToyRun run(make_strategy("seta", with(backend)), encoder_decoder(toy(3)));
    run.train_stage(1);
    run.train_stage(2);
    const at::Tensor first = logits(run, 1), second = logits(run, 2);
    run.strategy().before_task(run.learner(), run.view(3));
    CHECK(at::equal(logits(run, 1), first));
    CHECK(at::equal(logits(run, 2), second));
    const auto whole = trained("seta", with(backend), encoder_decoder(toy(3)));
    CHECK(whole->answers(false).size() == 3);
    const auto parameters = whole->sink.term_values("seta/parameters");
    CHECK(parameters.back() < 3 * parameters.front());
  }
}

TEST_CASE("unique units of old tasks stay bitwise as they are, and nothing else is trained", "[seta]") {
  for (const char* backend : {"components", "elements"}) {
    INFO(backend);
    ToyRun run(make_strategy("seta", with(backend)), toy(4));
    run.train_stage(1);
    std::vector<at::Tensor> before;
    for (std::int64_t i = 0; i < linears_of(run); ++i) before.push_back(units_of(run, 1, i));
    for (std::int64_t stage = 2; stage <= 4; ++stage) {
      run.train_stage(stage);
      CHECK(run.learner().bank().trainable() == std::vector<AdapterId>{adapter_of(run, stage)});
    }
    std::int64_t unique = 0, moved = 0;
    for (std::int64_t i = 0; i < linears_of(run); ++i) {
      const at::Tensor ids = ids_of(run, 1, i), after = units_of(run, 1, i);
      for (std::int64_t u = 0; u < ids.numel(); ++u) {
        bool held = false;
        for (std::int64_t t = 2; t <= 4; ++t) held = held || (ids_of(run, t, i) == ids[u]).any().item<bool>();
        const bool same = at::equal(after[u], before[static_cast<std::size_t>(i)][u]);
        unique += !held;
        moved += held && !same;
        if (!held) CHECK(same);
      }
    }
    CHECK(unique > 0);
    CHECK(moved > 0);
  }
}

TEST_CASE("without sharing, or with frozen shared units, an oracle never forgets", "[seta]") {
  for (const char* backend : {"components", "elements"}) {
    for (const Changes& changes : {Changes{{"share", false}}, Changes{{"anchor", std::string("freeze")}}}) {
      INFO(backend << (changes.contains("share") ? ", no sharing" : ", frozen"));
      ToyRun run(make_strategy("seta", with(backend, changes)), toy(3));
      run.train_stage(1);
      const at::Tensor first = logits(run, 1);
      const auto answers = run.answers(true);
      run.train_stage(2);
      run.train_stage(3);
      CHECK(at::equal(logits(run, 1), first));
      CHECK(run.answers(true)[0] == answers[0]);
      const double shared = run.sink.term_values("seta/shared_parameters").back();
      CHECK((changes.contains("share") ? shared == 0 : shared > 0));
    }
  }
}

TEST_CASE("the anchor is lambda/2 sum (|T|-1) Om (v - v*)^2 with Om of mean 1 per expert", "[seta]") {
  const double lambda = 3;
  ToyRun run(make_strategy("seta", with("elements", {{"lambda", lambda}, {"fisher_samples", std::int64_t{0}}})),
             toy(2));
  run.train_stage(1);
  // By hand from the Fisher service and the ids alone.
  const at::Tensor fisher = run.learner().fisher_diagonal(with_adapters({adapter_of(run, 1)}), run.view(1).train, 0);
  run.strategy().before_task(run.learner(), run.view(2));
  const StepBatch step = split_step({{"current", run.view(2).train}}, 1).front();
  const Terms start = run.strategy().loss(run.learner(), step);
  REQUIRE(start.size() == 2);
  CHECK(start[1].name == "anchor");
  CHECK(start[1].weight == lambda);
  CHECK(start[1].value.item<double>() == 0);

  std::vector<double> importance;
  std::vector<std::int64_t> shared;  // places in the second task's flat vector
  std::int64_t first_offset = 0, second_offset = 0;
  for (std::int64_t i = 0; i < linears_of(run); ++i) {
    const at::Tensor old = ids_of(run, 1, i), own = ids_of(run, 2, i);
    for (std::int64_t b = 0; b < own.numel(); ++b)
      for (std::int64_t a = 0; a < old.numel(); ++a)
        if (own[b].item<std::int64_t>() == old[a].item<std::int64_t>()) {
          shared.push_back(second_offset + b);
          importance.push_back(fisher[first_offset + a].item<double>());
        }
    first_offset += old.numel();
    second_offset += own.numel();
  }
  REQUIRE(shared.size() > 1);
  double mean = 0;
  for (const double value : importance) mean += value / static_cast<double>(importance.size());
  RandomStream rng(3, "moves");
  at::Tensor moves = at::zeros_like(run.learner().bank().values());
  for (std::int64_t i = 0; i < moves.numel(); ++i) moves.data_ptr<float>()[i] = static_cast<float>(0.1 * rng.normal());
  run.learner().bank().values().add_(moves);
  double expected = 0;
  for (std::size_t i = 0; i < shared.size(); ++i)
    expected += 0.5 * std::max(importance[i] / mean, 1e-3) * std::pow(moves[shared[i]].item<double>(), 2);
  const Terms moved = run.strategy().loss(run.learner(), step);
  CHECK(moved[1].value.item<double>() == Approx(expected).epsilon(1e-4));

  // Its gradient is Om (v - v*) on shared units and exactly zero on unique ones.
  run.learner().bank().gradient().zero_();
  moved[1].value.backward();
  at::Tensor gradient = run.learner().bank().gradient().clone();
  for (std::size_t i = 0; i < shared.size(); ++i) {
    const double slope = std::max(importance[i] / mean, 1e-3) * moves[shared[i]].item<double>();
    CHECK(gradient[shared[i]].item<double>() == Approx(slope).epsilon(1e-3).margin(1e-7));
    gradient[shared[i]] = 0;
  }
  CHECK(gradient.abs().max().item<float>() == 0);
}

TEST_CASE("lambda 0 lets shared units move freely, a stiff anchor holds them", "[seta]") {
  const auto moved = [](double lambda) {
    ToyOptions options = toy(2);
    options.train.learning_rate = 1e-4;
    ToyRun run(make_strategy("seta", with("elements", {{"lambda", lambda}})), options);
    run.train_stage(1);
    const at::Tensor before = logits(run, 1);
    run.train_stage(2);
    return (logits(run, 1) - before).abs().max().item<double>();
  };
  CHECK(moved(0) > 0);
  CHECK(moved(1e8) < 0.5 * moved(0));
}

TEST_CASE("the same task again takes the same elements, and nothing grows", "[seta]") {
  ToyRun run(make_strategy("seta", with("elements")), toy(2));
  run.train_stage(1);
  TaskView again = run.view(1);
  again.stage = 2;
  again.tasks = {2};
  // The calibration batches are cut otherwise: sums of absolute values differ a little.
  run.strategy().before_task(run.learner(), again);
  double all = 0, kept = 0;
  for (std::int64_t i = 0; i < linears_of(run); ++i) {
    const at::Tensor first = ids_of(run, 1, i), second = ids_of(run, 2, i);
    all += static_cast<double>(second.numel());
    kept += at::isin(second, first).sum().item<double>();
  }
  CHECK(kept / all > 0.75);
}

TEST_CASE("random units are another choice than sensitive ones", "[seta]") {
  for (const char* backend : {"components", "elements"}) {
    const auto sensitive = trained("seta", with(backend), toy(2));
    const auto random = trained("seta", with(backend, {{"support", std::string("random")}}), toy(2));
    CHECK(sensitive->sink.losses() != random->sink.losses());
    CHECK(sensitive->learner().bank().values().numel() == random->learner().bank().values().numel());
  }
}

TEST_CASE("ablations of sharing and anchoring differ from the method", "[seta]") {
  const auto whole = trained("seta", with("components"), toy(3))->sink.losses();
  CHECK(trained("seta", with("components", {{"share", false}}), toy(3))->sink.losses() != whole);
  CHECK(trained("seta", with("components", {{"lambda", 0.0}}), toy(3))->sink.losses() != whole);
  CHECK(trained("seta", with("components", {{"anchor", std::string("freeze")}}), toy(3))->sink.losses() != whole);
}

TEST_CASE("soft gating mixes tasks' adapters, which is the membership gate over experts", "[seta]") {
  const auto run = trained("seta", with("elements", {{"mode", std::string("soft")}}), toy(3));
  const ForwardSpec spec = run->strategy().route(run->learner(), prompts_of(toy_samples(2, 5)));
  REQUIRE(spec.adapters.size() == 3);
  at::Tensor pi = at::stack({spec.adapters[0].gate, spec.adapters[1].gate, spec.adapters[2].gate}, 1);
  CHECK(at::allclose(pi.sum(1), at::ones({5})));
  // c_e = sum of pi over the tasks that hold the unit, times its one value, for the first prompt and linear.
  const std::int64_t linear = run->learner().bank().views(adapter_of(*run, 1)).front().linear;
  const auto& info = run->learner().model().linears()[static_cast<std::size_t>(linear)];
  at::Tensor mixed = at::zeros({info.out * info.in}, at::kDouble), experts = at::zeros_like(mixed);
  std::map<std::int64_t, std::pair<double, double>> units;  // coefficient, value
  for (std::int64_t t = 1; t <= 3; ++t) {
    const at::Tensor ids = ids_of(*run, t, 0), values = units_of(*run, t, 0).to(at::kDouble);
    const double weight = pi[0][t - 1].item<double>();
    mixed.index_add_(0, ids, weight * values.squeeze(1));
    for (std::int64_t u = 0; u < ids.numel(); ++u) {
      auto& [coefficient, value] = units[ids[u].item<std::int64_t>()];
      coefficient += weight;
      value = values[u][0].item<double>();
    }
  }
  for (const auto& [id, unit] : units) experts[id] = unit.first * unit.second;
  CHECK(at::allclose(mixed, experts, 1e-9, 1e-12));
}

TEST_CASE("every gate routes, and the uniform one is a control", "[seta]") {
  for (const char* gate : {"analytic", "prototype", "trained", "uniform"}) {
    INFO(gate);
    Changes changes = with("components", {{"gate", std::string(gate)}});
    const auto run = trained("seta", changes, toy(3));
    const auto accuracy = run->sink.term_values("router/accuracy");
    REQUIRE(accuracy.size() == 3);
    CHECK(accuracy[0] == 1.0);
    CHECK(run->answers(false).size() == 3);
    changes["mode"] = std::string("soft");
    CHECK(trained("seta", changes, toy(3))->answers(false).size() == 3);
  }
}

TEST_CASE("the trained gate's new slot is closed until it is trained", "[seta]") {
  ToyRun run(
      make_strategy("seta", with("components", {{"gate", std::string("trained")}, {"mode", std::string("soft")}})),
      toy(2));
  run.train_stage(1);
  const TaskView second = run.view(2);
  run.strategy().before_task(run.learner(), second);
  const StepBatch step = split_step({{"current", second.train}}, 1).front();
  const Terms terms = run.strategy().loss(run.learner(), step);
  const auto value = [&terms](const std::string& name) {
    for (const Term& term : terms)
      if (term.name == name) return term.value.item<double>();
    return -1.0;
  };
  CHECK(value("gate") > 9);  // the new slot has a probability of about e^-10
  CHECK(value("route") == Approx(0).margin(1e-6));
  CHECK(value("slots") == 0);
}

TEST_CASE("the cap on shared experts holds", "[seta]") {
  for (const char* backend : {"components", "elements"}) {
    const auto run = trained("seta", with(backend, {{"most_experts", std::int64_t{2}}}), toy(6));
    for (const auto& array : run->sink.arrays) {
      if (!array.name.starts_with("seta/members/")) continue;
      std::int64_t shared = 0;
      for (std::int64_t e = 0; e < array.shape[0]; ++e) {
        double tasks = 0;
        for (std::int64_t t = 0; t < array.shape[1]; ++t)
          tasks += array.values[static_cast<std::size_t>(e * array.shape[1] + t)];
        shared += tasks > 1;
      }
      CHECK(shared <= 2);
    }
  }
}

TEST_CASE("seta takes one example and fifty tasks", "[seta]") {
  for (const char* backend : {"components", "elements"}) {
    ToyOptions many = toy(50);
    many.samples = 1;
    many.train.epochs = 1;
    const auto run = trained("seta", with(backend, {{"density", 0.02}}), many);
    CHECK(run->learner().bank().ids().size() == 50);
    CHECK(run->answers(false).size() == 50);
  }
}

TEST_CASE("elements are saved, loaded and gone on with bit for bit", "[seta]") {
  const Changes changes = with("elements", {{"gate", std::string("trained")}});
  const auto whole = trained("seta", changes, toy(3));
  ToyRun before(make_strategy("seta", changes), toy(3)), after(make_strategy("seta", changes), toy(3));
  before.train_stage(1);
  const auto file = std::filesystem::temp_directory_path() / "mneme-seta-test.safetensors";
  before.save(file);
  after.load(file);
  std::filesystem::remove(file);
  CHECK(after.state_hash() == before.state_hash());
  after.train_stage(2);
  after.train_stage(3);
  CHECK(after.state_hash() == whole->state_hash());
}

TEST_CASE("seta refuses to train the model itself", "[seta]") {
  ToyOptions full = toy(1);
  full.adapter.kind = "full";
  CHECK_THROWS_WITH(ToyRun(make_strategy("seta"), full), Catch::Contains("adapter.kind is 'full'"));
}
