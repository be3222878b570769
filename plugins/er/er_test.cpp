#include <ATen/ATen.h>

#include <map>
#include <set>

#include "core/strategy/replay_buffer.h"
#include "tests/support/catch.h"
#include "tests/support/toy.h"

using namespace mneme;
using namespace mneme::test;

TEST_CASE("er with no weight or no capacity is seq bit for bit", "[er]") {
  ToyOptions options;
  options.adapter.lora.dropout = 0.1;
  options.train.accumulation = 2;
  const auto seq = trained("seq", {}, options);
  for (const auto& changes : {std::map<std::string, ParamValue>{{"weight", 0.0}}, {{"capacity", std::int64_t{0}}}}) {
    const auto er = trained("er", changes, options);
    CHECK(er->sink.losses() == seq->sink.losses());
    CHECK(at::equal(er->all_values(), seq->all_values()));
  }
}

TEST_CASE("er's loss is the current mean plus weight times the replayed mean", "[er]") {
  auto strategy = make_strategy("er", {{"weight", 0.5}});
  ToyRun run(std::move(strategy));
  run.train_stage(1);
  const TaskView second = run.view(2);
  run.strategy().before_task(run.learner(), second);
  const StepParts parts =
      run.strategy().compose(run.learner(), Dataset(second.train.begin(), second.train.begin() + 4));
  REQUIRE(parts.at("replay").size() == 4);
  for (const auto& sample : parts.at("replay")) CHECK(sample->task == 1);
  const Terms terms = run.strategy().loss(run.learner(), split_step(parts, 1).front());
  REQUIRE(terms.size() == 2);
  CHECK(terms[1].weight == 0.5);
  const auto active = run.learner().active();
  CHECK(terms[0].value.item<double>() == Approx(run.learner().mean_loss(active, parts.at("current"))).epsilon(1e-6));
  CHECK(terms[1].value.item<double>() == Approx(run.learner().mean_loss(active, parts.at("replay"))).epsilon(1e-6));
}

TEST_CASE("replay starts with the second task", "[er]") {
  const auto run = trained("er");
  const auto replay = run->sink.term_values("replay");
  CHECK(replay.size() == run->sink.steps.size() / 2);
}

TEST_CASE("every sample stays in the reservoir with probability capacity / n", "[er]") {
  constexpr int kCapacity = 5, kSamples = 20, kRounds = 4000;
  std::map<const Sample*, int> held;
  Dataset samples = toy_samples(1, kSamples);
  for (int round = 0; round < kRounds; ++round) {
    ReplayBuffer buffer(kCapacity, RandomStream(static_cast<std::uint64_t>(round), "reservoir"));
    for (const auto& sample : samples) buffer.insert(sample);
    REQUIRE(buffer.size() == kCapacity);
    for (const auto& sample : buffer.samples()) ++held[sample.get()];
  }
  // Five standard deviations of a binomial with p = 1/4.
  for (const auto& sample : samples)
    CHECK(std::abs(held[sample.get()] - kRounds / 4.0) < 5 * std::sqrt(kRounds * 0.25 * 0.75));
}

TEST_CASE("a draw holds distinct samples and no more than there are", "[er]") {
  ReplayBuffer buffer(10, RandomStream(1, "reservoir"));
  CHECK(buffer.draw(3).empty());
  for (const auto& sample : toy_samples(1, 4)) buffer.insert(sample);
  const Dataset drawn = buffer.draw(9);
  CHECK(std::set<SamplePtr>(drawn.begin(), drawn.end()).size() == 4);
}
