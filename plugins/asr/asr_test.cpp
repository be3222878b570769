#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <set>

#include "core/base/error.h"
#include "core/strategy/prompt_features.h"
#include "tests/support/catch.h"
#include "tests/support/toy.h"

using namespace mneme;
using namespace mneme::test;

namespace {
const std::map<std::string, ParamValue> kShared = {{"shared_layers", std::int64_t{1}}, {"lambda", 0.1}};

ToyOptions toy(std::int64_t tasks) {
  ToyOptions options;
  options.tasks = tasks;
  return options;
}

/// Logits of a task's samples under the adapter of another (or the same) task.
at::Tensor logits(ToyRun& run, AdapterId adapter, std::int64_t task) {
  ForwardSpec spec = with_adapters({adapter});
  spec.want_logits = true;
  at::NoGradGuard off;
  return run.learner().forward(spec, make_batch(toy_samples(task, 6))).logits;
}
}  // namespace

TEST_CASE("asr with an oracle answers as separate runs do and never forgets", "[asr]") {
  ToyRun run(make_strategy("asr", kShared), toy(3));
  run.train_stage(1);
  const auto learnt = run.answers(true);
  const at::Tensor before = logits(run, run.learner().bank().find("task1"), 1);
  run.train_stage(2);
  run.train_stage(3);
  CHECK(run.answers(true)[0] == learnt[0]);
  CHECK(at::equal(logits(run, run.learner().bank().find("task1"), 1), before));
  // The third task's adapter is that of a run which knows no other task.
  ToyRun alone(make_strategy("asr", kShared), toy(3));
  alone.train_stage(3);
  CHECK(at::equal(run.learner().bank().values(run.learner().bank().find("task3")),
                  alone.learner().bank().values(alone.learner().bank().find("task3"))));
}

TEST_CASE("of an encoder-decoder asr shares the encoder's lower layers", "[asr]") {
  ToyRun run(make_strategy("asr", kShared), encoder_decoder(toy(3)));
  run.train_stage(1);
  const AdapterId first = run.learner().bank().find("task1");
  const auto learnt = run.answers(true);
  const at::Tensor before = logits(run, first, 1);
  run.train_stage(2);
  run.train_stage(3);
  CHECK(run.answers(true)[0] == learnt[0]);
  CHECK(at::equal(logits(run, first, 1), before));
  CHECK(run.answers(false).size() == 3);
  // Adapters above the first encoder layer and on the whole decoder, cross attention included.
  std::set<std::string> touched;
  for (const ParameterView& view : run.learner().bank().views(first))
    touched.insert(run.learner().model().linears()[static_cast<std::size_t>(view.linear)].name);
  CHECK(touched.contains("decoder.block.0.layer.1.EncDecAttention.q"));
  CHECK(touched.contains("encoder.block.1.layer.0.SelfAttention.q"));
  CHECK_FALSE(touched.contains("encoder.block.0.layer.0.SelfAttention.q"));
  // Training resumes from the shared states: the same losses as a separate adapter that runs all layers.
  ToyOptions options = encoder_decoder(toy(3));
  options.adapter.lora.first_layer = 1;
  const auto expected = trained("one", {}, options)->sink.losses(), losses = run.sink.losses();
  REQUIRE(losses.size() == expected.size());
  for (std::size_t i = 0; i < losses.size(); ++i) CHECK(losses[i] == Approx(expected[i]).epsilon(1e-5));
}

TEST_CASE("asr trains its adapters as separate ones on the upper layers", "[asr]") {
  ToyOptions options = toy(2);
  const auto asr = trained("asr", kShared, options);
  options.adapter.lora.first_layer = 1;
  const auto one = trained("one", {}, options);
  const auto losses = asr->sink.losses(), expected = one->sink.losses();
  REQUIRE(losses.size() == expected.size());
  for (std::size_t i = 0; i < losses.size(); ++i) CHECK(losses[i] == Approx(expected[i]).epsilon(1e-5));
}

TEST_CASE("asr's mixed batch gives each prompt the answer of its own adapter", "[asr]") {
  const auto run = trained("asr", kShared, toy(3));
  PromptBatch mixed;
  std::vector<Tokens> expected;
  std::vector<AdapterId> chosen;
  for (std::int64_t i = 0; i < 9; ++i) {
    const std::int64_t task = i % 4;  // 0: the bare model
    const SamplePtr sample = toy_samples(2, 9)[static_cast<std::size_t>(i)];
    mixed.prompts.push_back({Tokens(sample->tokens.begin(), sample->tokens.begin() + sample->first_label), 4, {}});
    chosen.push_back(task == 0 ? 0 : run->learner().bank().find("task" + std::to_string(task)));
    const ForwardSpec own = task == 0 ? ForwardSpec{} : with_adapters({chosen.back()});
    expected.push_back(run->learner().generate(own, {{mixed.prompts.back()}, {}}).front());
  }
  // A learner of its own: this one would remember the answers.
  ToyRun fresh(make_strategy("asr", kShared), toy(3));
  fresh.train_all();
  CHECK(fresh.learner().generate(with_adapter_each(chosen), mixed) == expected);
}

TEST_CASE("features of old prompts do not change with later tasks", "[asr]") {
  ToyRun run(make_strategy("asr", kShared), toy(2));
  const PromptBatch prompts = prompts_of(toy_samples(1, 6));
  run.train_stage(1);
  const at::Tensor before = prompt_features(run.learner(), prompts, 1).clone();
  run.train_stage(2);
  VectorSink sink;
  Learner fresh(toy_model(), LearnerOptions{}, sink);  // remembers nothing
  CHECK(at::equal(prompt_features(fresh, prompts, 1), before));
}

TEST_CASE("an old prompt is answered otherwise only if the router sends it elsewhere, which the record shows",
          "[asr]") {
  ToyRun run(make_strategy("asr", kShared), toy(3));
  const Dataset prompts = run.view(1).eval;  // those that the record's confusion counts
  const auto choices = [&] {
    const ForwardSpec spec = run.strategy().route(run.learner(), prompts_of(prompts));
    std::vector<std::pair<AdapterId, at::Tensor>> all;  // adapter, logits of the prompt alone
    for (std::size_t i = 0; i < prompts.size(); ++i)
      for (const AdapterUse& use : spec.adapters)
        if (!use.gate.defined() || use.gate[static_cast<std::int64_t>(i)].item<float>() == 1) {
          at::NoGradGuard off;
          ForwardSpec own = with_adapters({use.adapter});
          own.want_logits = true;
          all.emplace_back(use.adapter, run.learner().forward(own, make_batch({prompts[i]})).logits);
        }
    return all;
  };
  run.train_stage(1);
  const auto before = choices();
  run.train_stage(2);
  run.train_stage(3);
  const auto after = choices();
  REQUIRE(before.size() == prompts.size());
  REQUIRE(after.size() == prompts.size());
  double stayed = 0;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const bool stays = after[i].first == before[i].first;
    CHECK(stays == at::equal(after[i].second, before[i].second));
    stayed += stays;
  }
  CHECK(run.sink.arrays.back().values[0] == stayed);  // of the first task's prompts, those that go to the first task
  CHECK(stayed > 0);
  CHECK(stayed < static_cast<double>(prompts.size()));
}

TEST_CASE("both solvers route alike, and the confusion is recorded after each task", "[asr]") {
  auto recursive = kShared;
  recursive["solver"] = std::string("recursive");
  const auto a = trained("asr", kShared, toy(3)), b = trained("asr", recursive, toy(3));
  CHECK(a->answers(false) == b->answers(false));
  REQUIRE(a->sink.arrays.size() == 3);
  for (std::size_t k = 0; k < 3; ++k) {
    CHECK(a->sink.arrays[k].name == "router/confusion/" + std::to_string(k + 1));
    CHECK(a->sink.arrays[k].values == b->sink.arrays[k].values);
    double prompts = 0;
    for (const double count : a->sink.arrays[k].values) prompts += count;
    CHECK(prompts == 4.0 * static_cast<double>(k + 1));
  }
}

TEST_CASE("a general task trains nothing and its prompts get the bare model", "[asr]") {
  auto general = kShared;
  general["general_task"] = std::int64_t{1};
  ToyRun run(make_strategy("asr", general), toy(2));
  const auto bare = run.answers(true);
  run.train_stage(1);
  CHECK(run.sink.steps.empty());
  CHECK(run.learner().bank().ids().empty());
  run.train_stage(2);
  CHECK(run.learner().bank().ids().size() == 1);
  const auto answers = run.answers(true);
  CHECK(answers[0] == bare[0]);
}

TEST_CASE("the same task twice gets the same adapter twice, so that either choice answers it", "[asr]") {
  VectorSink sink;
  Learner learner(toy_model(), LearnerOptions{5, ToyOptions{}.adapter, 4, 4, {}}, sink);
  const auto strategy = make_strategy("asr", kShared);
  Trainer trainer(learner, *strategy, ToyOptions{}.train, sink);
  strategy->attach(learner);
  const Dataset data = toy_samples(1, 12);
  for (const std::int64_t stage : {1, 2}) {
    // One stage for the trainer: the order of the samples is the same, too.
    trainer.train({.stage = 1, .tasks = {stage}, .name = "again", .train = data, .eval = {}},
                  [](const TrainProgress&) {});
  }
  CHECK(at::equal(learner.bank().values(learner.bank().find("task1")),
                  learner.bank().values(learner.bank().find("task2"))));
  PromptBatch prompts = prompts_of(data);
  for (auto& job : prompts.prompts) job.max_new_tokens = 4;
  PromptBatch oracle = prompts;
  oracle.task = 1;
  CHECK(strategy->predict(learner, prompts) == strategy->predict(learner, oracle));
}

TEST_CASE("asr takes one example, the same task again, and fifty tasks", "[asr]") {
  ToyOptions many = toy(50);
  many.samples = 2;
  many.train.epochs = 1;
  const auto run = trained("asr", kShared, many);
  CHECK(run->learner().bank().ids().size() == 50);
  CHECK(run->answers(false).size() == 50);
  ToyOptions single = toy(1);
  single.samples = 1;
  CHECK(trained("asr", kShared, single)->answers(false).size() == 1);
}

TEST_CASE("asr refuses what it cannot work with", "[asr]") {
  ToyOptions full = toy(1);
  full.adapter.kind = "full";
  CHECK_THROWS_WITH(ToyRun(make_strategy("asr"), full), Catch::Contains("adapter.kind is 'full'"));
  CHECK_THROWS_WITH(ToyRun(make_strategy("asr", {{"shared_layers", std::int64_t{2}}}), toy(1)),
                    Catch::Contains("shares 2 lower layers of a model of 2"));
  CHECK_THROWS_WITH(make_strategy("asr", {{"lambda", 0.0}, {"solver", std::string("recursive")}}),
                    Catch::Contains("lambda > 0"));
  auto singular = kShared;
  singular["lambda"] = 0.0;
  ToyOptions one_sample = toy(1);
  one_sample.samples = 1;
  ToyRun run(make_strategy("asr", singular), one_sample);
  CHECK_THROWS_WITH(run.train_all(), Catch::Contains("not positive definite"));
}
