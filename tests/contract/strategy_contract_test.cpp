// What every strategy plugin must keep, whatever its method: run on all plugins that the tree builds.
#include <ATen/ATen.h>
#include <unistd.h>

#include <filesystem>

#include "tests/support/catch.h"
#include "tests/support/toy.h"

using namespace mneme;
using namespace mneme::test;

namespace {
bool needs_task_id(const std::string& name) { return (built_plugins().load(name).capabilities & kTaskIdAtTest) != 0; }
bool is_joint(const std::string& name) { return (built_plugins().load(name).capabilities & kJointTraining) != 0; }

/// Dropout on: the random streams of training are part of what must be reproduced.
ToyOptions with_dropout() {
  ToyOptions options;
  options.adapter.lora.dropout = 0.1;
  return options;
}

std::filesystem::path scratch_file(const std::string& name) {
  return std::filesystem::temp_directory_path() / ("mneme-contract-" + std::filesystem::path(name).stem().string() +
                                                   std::to_string(::getpid()) + ".safetensors");
}
}  // namespace

TEST_CASE("training is deterministic and two instances never interact", "[contract]") {
  for (const auto& name : plugins_under_test()) {
    INFO(name);
    const auto alone = trained(name, {}, with_dropout());
    ToyRun first(make_strategy(name), with_dropout()), second(make_strategy(name), with_dropout());
    for (std::int64_t stage = 1; stage <= first.stages(); ++stage) {
      first.train_stage(stage);
      second.train_stage(stage);
    }
    CHECK(first.sink.losses() == alone->sink.losses());
    CHECK(second.sink.losses() == alone->sink.losses());
    CHECK(at::equal(first.all_values(), alone->all_values()));
  }
}

TEST_CASE("a run saved and loaded goes on bit for bit", "[contract]") {
  for (const auto& name : plugins_under_test()) {
    INFO(name);
    ToyOptions options = with_dropout();
    options.tasks = 3;
    const auto whole = trained(name, {}, options);
    ToyRun before(make_strategy(name), options);
    if (before.stages() < 2) continue;
    before.train_stage(1);
    const auto file = scratch_file(name);
    before.save(file);
    ToyRun after(make_strategy(name), options);
    after.load(file);
    CHECK(after.state_hash() == before.state_hash());
    for (std::int64_t stage = 2; stage <= after.stages(); ++stage) after.train_stage(stage);
    CHECK(after.state_hash() == whole->state_hash());
    CHECK(at::equal(after.all_values(), whole->all_values()));
    CHECK(after.answers(needs_task_id(name)) == whole->answers(needs_task_id(name)));
    std::filesystem::remove(file);
  }
}

TEST_CASE("a single task is plain fine-tuning", "[contract]") {
  ToyOptions options = with_dropout();
  options.tasks = 1;
  const auto plain = trained("seq", {}, options);
  for (const auto& name : plugins_under_test()) {
    INFO(name);
    const auto run = trained(name, {}, options);
    CHECK(run->sink.losses() == plain->sink.losses());
    CHECK(at::equal(run->learner().bank().values(), plain->learner().bank().values()));
  }
}

TEST_CASE("accumulation never changes the gradient of a step", "[contract]") {
  for (const auto& name : plugins_under_test()) {
    INFO(name);
    std::vector<std::vector<double>> losses;
    std::vector<at::Tensor> values;
    for (const std::int64_t accumulation : {1, 2, 4}) {
      ToyOptions options;
      options.train.accumulation = accumulation;
      const auto run = trained(name, {}, options);
      losses.push_back(run->sink.losses());
      values.push_back(run->learner().bank().values().clone());
    }
    for (std::size_t i = 1; i < losses.size(); ++i) {
      REQUIRE(losses[i].size() == losses[0].size());
      for (std::size_t k = 0; k < losses[0].size(); ++k) CHECK(losses[i][k] == Approx(losses[0][k]).epsilon(1e-4));
      CHECK((values[i] - values[0]).abs().max().item<float>() < 2e-4F);
    }
  }
}

TEST_CASE("a task with one sample and a repeated task are learnt like any other", "[contract]") {
  for (const auto& name : plugins_under_test()) {
    INFO(name);
    ToyOptions options;
    options.samples = 1;
    options.tasks = 3;
    const auto run = trained(name, {}, options);
    for (const double loss : run->sink.losses()) CHECK(std::isfinite(loss));
    CHECK(run->answers(needs_task_id(name)).size() == 3);
    CHECK((is_joint(name) || run->stages() == 3));
  }
}
