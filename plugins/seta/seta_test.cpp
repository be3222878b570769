#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <map>
#include <numeric>

#include "core/base/error.h"
#include "core/strategy/prompt_features.h"
#include "plugins/seta/seta_test_support.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::test;

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

TEST_CASE("the record's experts are the different units, by the tasks that hold them", "[seta]") {
  for (const char* backend : {"components", "elements"}) {
    INFO(backend);
    const auto run = trained("seta", with(backend), toy(4));
    std::map<std::vector<double>, double> expected;  // tasks that hold the expert -> parameters
    double all = 0, shared = 0;
    for (std::int64_t i = 0; i < linears_of(*run); ++i) {
      std::map<std::int64_t, std::vector<double>> held;
      for (std::int64_t t = 1; t <= 4; ++t) {
        const at::Tensor ids = ids_of(*run, t, i);
        for (std::int64_t u = 0; u < ids.numel(); ++u) {
          auto [at, added] = held.try_emplace(ids[u].item<std::int64_t>(), 4, 0.0);
          at->second[static_cast<std::size_t>(t - 1)] = 1;
        }
      }
      const auto width = static_cast<double>(units_of(*run, 1, i).size(1));
      for (const auto& [id, tasks] : held) {
        expected[tasks] += width;
        all += width;
        if (std::accumulate(tasks.begin(), tasks.end(), 0.0) > 1) shared += width;
      }
    }
    const auto find = [&](const std::string& name) -> const ArrayEvent& {
      for (const ArrayEvent& array : run->sink.arrays)
        if (array.name == name) return array;
      throw Error("no array " + name);
    };
    const ArrayEvent &members = find("seta/members/4"), &parameters = find("seta/expert_parameters/4");
    REQUIRE(members.shape == std::vector<std::int64_t>{static_cast<std::int64_t>(expected.size()), 4});
    std::map<std::vector<double>, double> found;
    for (std::size_t e = 0; e < parameters.values.size(); ++e)
      found[{members.values.begin() + static_cast<std::ptrdiff_t>(4 * e),
             members.values.begin() + static_cast<std::ptrdiff_t>(4 * e + 4)}] = parameters.values[e];
    CHECK(found == expected);
    CHECK(run->sink.term_values("seta/parameters").back() == all);
    CHECK(run->sink.term_values("seta/shared_parameters").back() == shared);
    CHECK(run->sink.term_values("seta/experts").back() == static_cast<double>(expected.size()));
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
      ToyOptions options = toy(3);
      options.train.weight_decay = 0.1;  // what moves weights besides the gradient
      options.train.optimizer_reset = "never";
      ToyRun run(make_strategy("seta", with(backend, changes)), options);
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

TEST_CASE("the same task again takes exactly the same elements: one expert, which both hold", "[seta]") {
  for (const char* sensitivity : {"weighted", "gradient"}) {
    INFO(sensitivity);
    ToyRun run(make_strategy("seta", with("elements", {{"sensitivity", std::string(sensitivity)}})), toy(2));
    run.train_stage(1);
    TaskView again = run.view(1);
    again.stage = 2;
    again.tasks = {2};
    run.strategy().before_task(run.learner(), again);
    for (std::int64_t i = 0; i < linears_of(run); ++i) {
      CHECK(at::equal(ids_of(run, 1, i), ids_of(run, 2, i)));
      CHECK(at::equal(units_of(run, 1, i), units_of(run, 2, i)));
    }
    run.strategy().after_task(run.learner(), again);
    const auto parameters = run.sink.term_values("seta/parameters"), experts = run.sink.term_values("seta/experts");
    CHECK(parameters == std::vector<double>(2, parameters.front()));
    CHECK(run.sink.term_values("seta/shared_parameters").back() == parameters.front());
    CHECK(experts.back() == 1);
  }
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
    if (gate == std::string("uniform")) CHECK(accuracy[2] == Approx(1.0 / 3));
    CHECK(run->answers(false).size() == 3);
    changes["mode"] = std::string("soft");
    CHECK(trained("seta", changes, toy(3))->answers(false).size() == 3);
  }
}

TEST_CASE("a new task moves no old coefficient before it has been learnt, and hard choices are of one task", "[seta]") {
  const PromptBatch prompts = prompts_of(toy_samples(2, 6));
  const auto gates = [&](ToyRun& run) {
    std::vector<at::Tensor> all;
    for (const AdapterUse& use : run.strategy().route(run.learner(), prompts).adapters)
      all.push_back(use.gate.defined() ? use.gate : at::ones({6}));
    return at::stack(all, 1);
  };
  for (const char* gate : {"analytic", "prototype", "trained"}) {
    for (const char* mode : {"soft", "hard"}) {
      INFO(gate << ", " << mode);
      ToyRun run(make_strategy("seta", with("components", {{"gate", std::string(gate)}, {"mode", std::string(mode)}})),
                 toy(3));
      run.train_stage(1);
      run.train_stage(2);
      const at::Tensor before = gates(run);
      run.strategy().before_task(run.learner(), run.view(3));
      CHECK(at::equal(gates(run), before));
      CHECK(at::allclose(before.sum(1), at::ones({6})));
      if (mode == std::string("hard")) CHECK(before.eq(1).sum().item<std::int64_t>() == 6);
    }
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

TEST_CASE("seta refuses to train the model itself, and a singular gate", "[seta]") {
  ToyOptions one_sample = toy(1);
  one_sample.samples = 1;
  ToyRun singular(make_strategy("seta", with("components", {{"gate_lambda", 0.0}})), one_sample);
  CHECK_THROWS_WITH(singular.train_all(), Catch::Contains("not positive definite"));
  ToyOptions full = toy(1);
  full.adapter.kind = "full";
  CHECK_THROWS_WITH(ToyRun(make_strategy("seta"), full), Catch::Contains("adapter.kind is 'full'"));
}
