// What every strategy plugin must keep, whatever its method: run on all plugins that the tree builds.
#include <ATen/ATen.h>
#include <unistd.h>

#include <ctime>
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

// INFO lines say what to look for when a plugin fails: `mneme plugins check` prints them.

TEST_CASE("training is deterministic and two instances never interact", "[contract]") {
  INFO("random numbers come from Learner::random() alone, and nothing is static or global");
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
  INFO("every member that outlives a task is named in visit_state()");
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
  INFO("with one task there is nothing to remember: the losses are those of seq");
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
  INFO("terms carry their share of the step: make them by Learner::cross_entropy, token_mean and regulariser");
  for (const auto& name : plugins_under_test()) {
    INFO(name);
    for (const ToyOptions& family : {ToyOptions{}, encoder_decoder()}) {
      INFO((family.encoder_decoder ? "encoder and decoder" : "decoder"));
      std::vector<std::vector<double>> losses;
      std::vector<at::Tensor> values;
      for (const std::int64_t accumulation : {1, 2, 4}) {
        ToyOptions options = family;
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
}

TEST_CASE("the frozen model is never edited", "[contract]") {
  INFO("the weights of the backbone are frozen: what a method changes lives in the adapter bank");
  for (const auto& name : plugins_under_test()) {
    INFO(name);
    ToyRun run(make_strategy(name), with_dropout());
    std::vector<at::Tensor> before;
    for (const auto& [key, weight] : run.learner().model().weights()) before.push_back(weight.detach().clone());
    run.train_all();
    run.answers(needs_task_id(name));
    std::size_t i = 0;
    for (const auto& [key, weight] : run.learner().model().weights()) {
      INFO(key);
      CHECK(at::equal(weight, before[i++]));
    }
  }
}

TEST_CASE("two tasks are learnt and answered within ten seconds", "[contract]") {
  INFO("processor time, on a model of two layers and 24 samples");
  for (const auto& name : plugins_under_test()) {
    INFO(name);
    const std::clock_t start = std::clock();
    const auto run = trained(name, {}, with_dropout());
    run->answers(needs_task_id(name));
    CHECK(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC < 10);
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

TEST_CASE("an encoder and a decoder are trained, answer and are resumed bit for bit", "[contract]") {
  for (const auto& name : plugins_under_test()) {
    INFO(name);
    ToyOptions options = encoder_decoder();
    options.adapter.lora.dropout = 0.1;
    const auto whole = trained(name, {}, options);
    for (const double loss : whole->sink.losses()) CHECK(std::isfinite(loss));
    ToyRun before(make_strategy(name), options);
    const auto bare = before.all_values();
    if (before.stages() < 2) continue;
    before.train_stage(1);
    CHECK_FALSE(at::equal(before.all_values(), bare));
    const auto file = scratch_file(name);
    before.save(file);
    ToyRun after(make_strategy(name), options);
    after.load(file);
    std::filesystem::remove(file);
    after.train_stage(2);
    CHECK(after.state_hash() == whole->state_hash());
    CHECK(after.answers(needs_task_id(name)) == whole->answers(needs_task_id(name)));
  }
}
