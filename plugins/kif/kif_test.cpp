#include <ATen/ATen.h>

#include <cmath>
#include <map>

#include "core/strategy/unit_partition.h"
#include "tests/support/catch.h"
#include "tests/support/toy.h"

using namespace mneme;
using namespace mneme::test;
using Catch::Contains;
using Changes = std::map<std::string, ParamValue>;

namespace {
AdapterBank& bank(ToyRun& run) { return run.learner().bank(); }
at::Tensor values(ToyRun& run) { return bank(run).values().detach().clone(); }

const ArrayEvent* find_array(const ToyRun& run, const std::string& name) {
  for (const auto& array : run.sink.arrays)
    if (array.name == name) return &array;
  return nullptr;
}

/// What a stage's training looked like from outside: the weights that each step read, its clipped gradient, the weights
/// that it left.
struct Tape {
  std::vector<at::Tensor> before, gradients, after;

  at::Tensor importance(bool before_step) const {
    at::Tensor s_bar = at::zeros_like(before[0]), u_bar = at::zeros_like(before[0]);
    for (std::size_t t = 0; t < before.size(); ++t) {
      const at::Tensor x = (before_step ? before : after)[t] * gradients[t];
      const at::Tensor s = (x - 0.5 * x.square()).abs();
      s_bar = 0.85 * s_bar + 0.15 * s;
      u_bar = 0.85 * u_bar + 0.15 * (s - s_bar).abs();
    }
    return s_bar * u_bar;
  }
};

/// Trains two tasks and keeps the tape of each; after the second the weights are fused.
struct TapedRun {
  explicit TapedRun(const Changes& changes, const ToyOptions& options = {}) {
    auto watched = std::make_unique<Watched>(make_strategy("kif", changes), [this](Learner& learner) {
      Tape& tape = tapes.back();
      tape.before.push_back(last);
      tape.gradients.push_back(learner.bank().gradient().to(at::kDouble).clone());
      tape.after.push_back(learner.bank().values().detach().to(at::kDouble).clone());
      last = tape.after.back();
    });
    run = std::make_unique<ToyRun>(std::move(watched), options);
    for (std::int64_t stage = 1; stage <= 2; ++stage) {
      tapes.emplace_back();
      last = values(*run).to(at::kDouble);
      run->train_stage(stage);
    }
  }

  std::unique_ptr<ToyRun> run;
  std::vector<Tape> tapes;
  at::Tensor last;
};

at::Tensor normalised(const at::Tensor& x) { return (x - x.min()) / (x.max() - x.min()); }
}  // namespace

TEST_CASE("soft fusion by rank is the published formula on the recorded steps", "[kif]") {
  for (const bool before_step : {true, false}) {
    TapedRun taped({{"timing", std::string(before_step ? "before_step" : "after_step")}});
    const auto views = bank(*taped.run).views();
    const at::Tensor q1 = taped.tapes[0].importance(before_step), q2 = taped.tapes[1].importance(before_step);
    // Pairs (A, B) of each linear, found by name; unit scores over all of them.
    std::map<std::string, std::pair<const ParameterView*, const ParameterView*>> linears;
    for (const auto& view : views) {
      auto& pair = linears[view.name.substr(0, view.name.size() - 1)];
      (view.role == ParameterRole::kLoraA ? pair.first : pair.second) = &view;
    }
    std::vector<at::Tensor> old_scores, scores;
    for (const auto& [name, pair] : linears)
      for (std::int64_t r = 0; r < 2; ++r) {
        const auto score = [&, p = pair](const at::Tensor& q) {
          return at::outer(p.second->of(q).select(1, r), p.first->of(q)[r]).mean();
        };
        old_scores.push_back(score(q1));
        scores.push_back(score(q2));
      }
    const at::Tensor p = normalised(at::stack(old_scores)), c = normalised(at::stack(scores));
    at::Tensor expected = taped.tapes[1].after.back().clone();
    const at::Tensor old_values = taped.tapes[1].before.front();
    std::int64_t unit = 0;
    for (const auto& [name, pair] : linears)
      for (std::int64_t r = 0; r < 2; ++r, ++unit) {
        const double keep = 1 / (1 + std::exp((c[unit] - p[unit]).item<double>() / 0.25));
        const auto mix = [&](at::Tensor to, const at::Tensor& from) { to.mul_(1 - keep).add_(from, keep); };
        mix(pair.first->of(expected)[r], pair.first->of(old_values)[r]);
        mix(pair.second->of(expected).select(1, r), pair.second->of(old_values).select(1, r));
      }
    const double moved = (taped.tapes[1].after.back() - old_values).abs().max().item<double>();
    CHECK((values(*taped.run).to(at::kDouble) - expected).abs().max().item<double>() < 1e-4 * moved);
    CHECK(find_array(*taped.run, "kif/keep/2")->shape ==
          std::vector<std::int64_t>{static_cast<std::int64_t>(linears.size()), 2});
  }
}

TEST_CASE("the setting TaSL: matrices, first order, hard", "[kif]") {
  TapedRun taped(
      {{"units", std::string("matrix")}, {"importance", std::string("first_order")}, {"fusion", std::string("hard")}});
  const at::Tensor old_values = taped.tapes[1].before.front(), fresh = taped.tapes[1].after.back();
  const auto views = bank(*taped.run).views();
  const ArrayEvent* keep = find_array(*taped.run, "kif/keep/2");
  REQUIRE(keep != nullptr);
  REQUIRE(keep->values.size() == views.size());
  for (std::size_t u = 0; u < views.size(); ++u) {
    const double k = keep->values[u];
    CHECK((k == 0 || k == 0.5 || k == 0.7 || k == 1));
    const at::Tensor expected = k * views[u].of(old_values) + (1 - k) * views[u].of(fresh);
    CHECK(at::allclose(views[u].of(values(*taped.run)).to(at::kDouble), expected, 1e-5, 1e-7));
    if (k == 1) CHECK(at::equal(views[u].of(values(*taped.run)), views[u].of(old_values).to(at::kFloat)));
  }
}

TEST_CASE("importances accumulate as beta times the old ones", "[kif]") {
  ToyOptions options;
  options.tasks = 3;
  const auto run = trained("kif", {{"beta", 0.6}}, options);
  const auto tensor_of = [&](const std::string& name) {
    const ArrayEvent* array = find_array(*run, name);
    REQUIRE(array != nullptr);
    return at::tensor(array->values, at::kDouble);
  };
  CHECK(find_array(*run, "kif/keep/1") == nullptr);
  const at::Tensor second =
      normalised(0.6 * normalised(tensor_of("kif/importance/1")) + 0.4 * normalised(tensor_of("kif/importance/2")));
  CHECK(at::allclose(tensor_of("kif/accumulated/2"), second, 1e-12));
  const at::Tensor third = normalised(0.6 * second + 0.4 * normalised(tensor_of("kif/importance/3")));
  CHECK(at::allclose(tensor_of("kif/accumulated/3"), third, 1e-12));
}

TEST_CASE("weights that did not move are fused bit for bit", "[kif]") {
  ToyOptions options;
  options.train.learning_rate = 0;
  for (const std::string fusion : {"soft", "hard"}) {
    ToyRun run(make_strategy("kif", {{"fusion", fusion}}), options);
    const at::Tensor start = values(run);
    run.train_all();
    CHECK(at::equal(values(run), start));
  }
}

TEST_CASE("the orthogonality term enters the loss and its gradient, from the task that is asked for", "[kif]") {
  ToyOptions options;
  options.train.accumulation = 2;
  const auto with = trained("kif", {{"orthogonality_from", std::int64_t{1}}}, options);
  CHECK(with->sink.term_values("orthogonality").size() == with->sink.steps.size());
  CHECK(trained("kif", {}, options)->sink.term_values("orthogonality").size() == with->sink.steps.size() / 2);

  // A strong term makes the ranks orthonormal.
  const auto term_after = [&](double weight) {
    ToyOptions long_run;
    long_run.train.epochs = 40;
    return trained("kif", {{"orthogonality_from", std::int64_t{1}}, {"orthogonality", weight}}, long_run)
        ->sink.term_values("orthogonality")
        .back();
  };
  CHECK(term_after(100.0) < 0.5 * term_after(1e-9));
}

TEST_CASE("units that do not divide the rank, or full weights by rank, are refused before training", "[kif]") {
  CHECK_THROWS_WITH(ToyRun(make_strategy("kif", {{"ranks_per_unit", std::int64_t{3}}})),
                    Contains("do not divide the rank 2"));
  ToyOptions full;
  full.adapter.kind = "full";
  CHECK_THROWS_WITH(ToyRun(make_strategy("kif"), full), Contains("use units by matrix"));
}

TEST_CASE("all weights are fused by matrix", "[kif]") {
  ToyOptions full;
  full.adapter.kind = "full";
  full.train.learning_rate = 1e-3;
  const auto run = trained("kif", {{"units", std::string("matrix")}}, full);
  CHECK(find_array(*run, "kif/keep/2")->values.size() == bank(*run).views().size());
  for (const double loss : run->sink.losses()) CHECK(std::isfinite(loss));
}

TEST_CASE("the state does not grow over fifty tasks, and the same task twice is learnt on", "[kif]") {
  ToyOptions options;
  options.tasks = 50;
  options.samples = 4;
  options.train.epochs = 1;
  ToyRun run(make_strategy("kif"), options);
  std::vector<std::int64_t> bytes;
  for (std::int64_t stage = 1; stage <= run.stages(); ++stage) {
    run.train_stage(stage);
    StateSizer sizer;
    sizer.object("strategy", run.strategy());
    bytes.push_back(sizer.bytes());
  }
  CHECK(bytes.back() == bytes.front());
  for (const double loss : run.sink.losses()) CHECK(std::isfinite(loss));

  ToyOptions longer;
  longer.train.epochs = 8;
  ToyRun twice(make_strategy("kif"), longer);
  const auto loss_of_first = [&] { return twice.learner().mean_loss(twice.learner().active(), twice.view(1).train); };
  twice.train_stage(1);
  const double once = loss_of_first();
  twice.train_stage(1);
  CHECK(loss_of_first() < once);
}

TEST_CASE("KIF-M trains on memory in a phase of its own from the second task on", "[kif]") {
  ToyOptions options;
  options.tasks = 3;
  ToyRun run(make_strategy("kif", {{"memory", std::int64_t{5}}}), options);
  run.train_stage(1);
  for (const auto& step : run.sink.steps) CHECK(step.phase == 1);
  const auto steps_before = run.sink.steps.size();
  run.train_stage(2);
  std::size_t memory_steps = 0;
  for (std::size_t i = steps_before; i < run.sink.steps.size(); ++i)
    memory_steps += run.sink.steps[i].phase == 2 ? 1 : 0;
  CHECK(memory_steps == 2 * 2);  // epochs, ceil(5 / 4)
}

TEST_CASE("KIF-M's memory phase holds the units that matter to the new task alone", "[kif]") {
  std::int64_t held_units = 0;
  for (const double quantile : {0.2, 0.4, 0.6, 0.8}) {
    ToyOptions options;
    options.train.epochs = 6;
    const Changes plain_changes = {{"units", std::string("matrix")}, {"quantile", quantile}};
    Changes changes = plain_changes;
    changes["memory"] = std::int64_t{5};
    // The same run without memory ends with the fused weights from which the phase starts.
    const auto run = trained("kif", changes, options), plain = trained("kif", plain_changes, options);
    const auto unit_values = [&](const std::string& name) {
      return at::tensor(find_array(*run, name)->values, at::kDouble);
    };
    const at::Tensor p = normalised(unit_values("kif/importance/1")), c = normalised(unit_values("kif/importance/2"));
    const at::Tensor held = (p <= at::quantile(p, quantile)) & (c > at::quantile(c, quantile));
    held_units += held.sum().item<std::int64_t>();
    const auto views = bank(*run).views();
    for (std::size_t u = 0; u < views.size(); ++u) {
      const bool same = at::equal(views[u].of(values(*run)), views[u].of(values(*plain)));
      CHECK(same == held[static_cast<std::int64_t>(u)].item<bool>());
    }
  }
  CHECK(held_units > 0);
}
