#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <set>

#include "tests/support/catch.h"
#include "tests/support/toy.h"

using namespace mneme;
using namespace mneme::test;

namespace {
AdapterBank& bank(ToyRun& run) { return run.learner().bank(); }
at::Tensor slow(ToyRun& run) { return bank(run).values(bank(run).find("slow")).detach().clone(); }
at::Tensor fast(ToyRun& run) { return bank(run).values(bank(run).find("default")).detach().clone(); }

StepBatch second_task_step(ToyRun& run) {
  const TaskView second = run.view(2);
  run.strategy().before_task(run.learner(), second);
  return split_step(run.strategy().compose(run.learner(), Dataset(second.train.begin(), second.train.begin() + 4)), 1)
      .front();
}
}  // namespace

TEST_CASE("the slow adapter is the closed-form average of the recorded fast ones", "[ilora]") {
  const double ema = 0.8;
  std::vector<at::Tensor> recorded;
  auto watched = std::make_unique<Watched>(make_strategy("ilora", {{"ema", ema}}), [&](Learner& learner) {
    recorded.push_back(learner.bank().values().detach().to(at::kDouble).clone());
  });
  ToyRun run(std::move(watched));
  at::Tensor expected = fast(run).to(at::kDouble) * std::pow(ema, 12);
  run.train_all();
  REQUIRE(recorded.size() == 12);
  for (std::size_t k = 0; k < recorded.size(); ++k)
    expected += (1 - ema) * std::pow(ema, static_cast<double>(recorded.size() - 1 - k)) * recorded[k];
  CHECK((slow(run).to(at::kDouble) - expected).abs().max().item<double>() < 1e-6);
  CHECK_FALSE(at::equal(slow(run), fast(run)));
}

TEST_CASE("ema 0 makes slow equal fast, ema 1 keeps slow constant", "[ilora]") {
  const auto equal = trained("ilora", {{"ema", 0.0}});
  CHECK(at::equal(slow(*equal), fast(*equal)));
  ToyRun still(make_strategy("ilora", {{"ema", 1.0}}));
  const at::Tensor start = slow(still);
  still.train_all();
  CHECK(at::equal(slow(still), start));
}

TEST_CASE("i-lora without buffer is seq bit for bit", "[ilora]") {
  ToyOptions options;
  options.adapter.lora.dropout = 0.1;
  const auto seq = trained("seq", {}, options);
  for (const std::string variant : {"paper", "repo_fixed"}) {
    const auto run = trained(
        "ilora", {{"capacity", std::int64_t{0}}, {"variant", variant}, {"evaluate", std::string("fast")}}, options);
    CHECK(run->sink.losses() == seq->sink.losses());
    CHECK(at::equal(fast(*run), seq->all_values()));
    CHECK(run->answers(false) == seq->answers(false));
  }
}

TEST_CASE("variant paper: cross-entropy over current and replay together, symmetric consistency", "[ilora]") {
  ToyRun run(make_strategy("ilora", {{"ema", 0.9}}));
  run.train_stage(1);
  const StepBatch step = second_task_step(run);
  const Terms terms = run.strategy().loss(run.learner(), step);
  REQUIRE(terms.size() == 3);
  Dataset both = step.current().samples;
  const Dataset& replay = step.find("replay")->samples;
  both.insert(both.end(), replay.begin(), replay.end());
  const double joint = run.learner().mean_loss(run.learner().active(), both);
  CHECK(terms[0].value.item<double>() * terms[0].weight + terms[1].value.item<double>() * terms[1].weight ==
        Approx(joint).epsilon(1e-6));

  at::NoGradGuard off;
  ForwardSpec spec = run.learner().active();
  spec.hidden = model::HiddenStates::kAll;
  const auto h_fast = run.learner().forward(spec, *step.find("replay")).hidden;
  spec.adapters[0].adapter = bank(run).find("slow");
  const auto h_slow = run.learner().forward(spec, *step.find("replay")).hidden;
  REQUIRE(h_fast.size() == 3);  // embeddings, two layers
  double sum = 0;
  for (std::size_t i = 0; i < h_fast.size(); ++i)
    sum += (h_fast[i] - h_slow[i]).to(at::kDouble).square().mean().item<double>();
  CHECK(sum > 0);
  CHECK(terms[2].value.item<double>() == Approx(sum / 3).epsilon(1e-5));
}

TEST_CASE("variant repo_fixed: halved sum, one-sided consistency, slow from the last task's end", "[ilora]") {
  ToyRun run(make_strategy("ilora", {{"variant", std::string("repo_fixed")}}));
  run.train_stage(1);
  CHECK(at::equal(slow(run), fast(run)));
  bank(run).values().add_(0.02);  // the fast adapter moves on
  const StepBatch step = second_task_step(run);
  const Terms terms = run.strategy().loss(run.learner(), step);
  REQUIRE(terms.size() == 3);
  CHECK(terms[0].weight == 0.5);
  CHECK(terms[1].weight == 0.5);
  at::NoGradGuard off;
  ForwardSpec spec = run.learner().active();
  spec.hidden = model::HiddenStates::kAll;
  const auto h_fast = run.learner().forward(spec, *step.find("replay")).hidden;
  spec.adapters[0].adapter = bank(run).find("slow");
  const auto h_slow = run.learner().forward(spec, *step.find("replay")).hidden;
  double sum = 0;
  // The released form: distance to the larger of the two.
  for (std::size_t i = 0; i < h_fast.size(); ++i)
    sum += (at::maximum(h_fast[i], h_slow[i]) - h_fast[i]).to(at::kDouble).square().mean().item<double>();
  CHECK(terms[2].value.item<double>() == Approx(sum / 3).epsilon(1e-5));
}

TEST_CASE("losses of a batch are those of its sequences alone, whatever their lengths", "[ilora]") {
  ToyRun run(make_strategy("ilora"));
  run.train_stage(1);
  bank(run).values().add_(0.02);
  const StepBatch step = second_task_step(run);
  const Terms terms = run.strategy().loss(run.learner(), step);
  at::NoGradGuard off;
  ForwardSpec spec = run.learner().active();
  spec.hidden = model::HiddenStates::kAll;
  double squares = 0, values = 0;
  std::set<std::size_t> lengths;
  for (const auto& sample : step.find("replay")->samples) {
    const Batch alone = make_batch({sample});
    lengths.insert(sample->tokens.size());
    spec.adapters[0].adapter = bank(run).find("default");
    const auto h_fast = run.learner().forward(spec, alone).hidden;
    spec.adapters[0].adapter = bank(run).find("slow");
    const auto h_slow = run.learner().forward(spec, alone).hidden;
    for (std::size_t i = 0; i < h_fast.size(); ++i) {
      squares += (h_fast[i] - h_slow[i]).to(at::kDouble).square().sum().item<double>();
      values += static_cast<double>(h_fast[i].numel());
    }
  }
  REQUIRE(lengths.size() > 1);
  CHECK(terms[2].value.item<double>() == Approx(squares / values).epsilon(1e-5));
  double replay = 0, labels = 0;
  for (const auto& sample : step.find("replay")->samples) {
    const auto count = static_cast<double>(sample->tokens.size()) - static_cast<double>(sample->first_label);
    replay += count * run.learner().mean_loss(run.learner().active(), {sample});
    labels += count;
  }
  CHECK(terms[1].value.item<double>() == Approx(replay / labels).epsilon(1e-5));
}

TEST_CASE("the buffer holds samples after the first step, and a step's own only where the variant says so", "[ilora]") {
  for (const std::string variant : {"paper", "repo_fixed"}) {
    bool own = false;
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      ToyOptions options;
      options.seed = seed;
      ToyRun run(make_strategy("ilora", {{"variant", variant}}), options);
      const TaskView first = run.view(1), second = run.view(2);
      run.strategy().before_task(run.learner(), first);
      CHECK(run.strategy().compose(run.learner(), {first.train[0], first.train[1]}).count("replay") == 0);
      run.strategy().before_task(run.learner(), second);
      const StepParts parts = run.strategy().compose(run.learner(), {second.train[0], second.train[1]});
      REQUIRE(parts.at("replay").size() == 2);
      for (const auto& sample : parts.at("replay")) own = own || sample == second.train[0] || sample == second.train[1];
    }
    CHECK(own == (variant == "repo_fixed"));
  }
}

TEST_CASE("the consistency's gradient does not reach the slow adapter", "[ilora]") {
  const auto run = trained("ilora", {{"ema", 1.0}, {"gamma", 10.0}});
  const auto values = run->sink.term_values("consistency");
  CHECK(values.size() == run->sink.steps.size() / 2);
  CHECK(values.back() > 0);
}

TEST_CASE("variant repo_asis: filling on the left is seen, and is a label in replay", "[ilora]") {
  ToyRun run(make_strategy("ilora", {{"variant", std::string("repo_asis")}, {"gamma", 0.0}}));
  run.train_stage(1);
  const StepBatch step = second_task_step(run);
  const Terms terms = run.strategy().loss(run.learner(), step);
  REQUIRE(terms.size() == 2);
  const auto by_hand = [&](const Batch& batch, bool labelled) {
    std::size_t longest = 0;
    for (const auto& sample : batch.samples) longest = std::max(longest, sample->tokens.size());
    double sum = 0, count = 0;
    bool filled = false;
    for (const auto& sample : batch.samples) {
      const std::size_t filling = longest - sample->tokens.size();
      filled = filled || filling > 1;
      Tokens tokens(filling, 0);
      tokens.insert(tokens.end(), sample->tokens.begin(), sample->tokens.end());
      // Each label alone, as the last token of a sequence that ends with it.
      for (std::size_t i = 1; i < longest; ++i) {
        const bool is_label = i >= filling + static_cast<std::size_t>(sample->first_label) || (labelled && i < filling);
        if (!is_label) continue;
        const Sample upto{Tokens(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(i) + 1),
                          static_cast<std::int64_t>(i), 1};
        sum += run.learner().mean_loss(run.learner().active(), {std::make_shared<const Sample>(upto)});
        ++count;
      }
    }
    CHECK(filled);
    return sum / count;
  };
  CHECK(terms[0].value.item<double>() == Approx(by_hand(step.current(), false)).epsilon(1e-5));
  CHECK(terms[1].value.item<double>() == Approx(by_hand(*step.find("replay"), true)).epsilon(1e-5));
}

TEST_CASE("refresh never leaves the slow adapter bare", "[ilora]") {
  ToyRun run(make_strategy(
      "ilora",
      {{"variant", std::string("repo_fixed")}, {"refresh", std::string("never")}, {"evaluate", std::string("slow")}}));
  const auto bare = run.answers(false);
  run.train_all();
  CHECK(run.answers(false) == bare);
  CHECK_FALSE(at::equal(slow(run), fast(run)));
}

TEST_CASE("consistency over the last hidden state alone", "[ilora]") {
  ToyRun run(make_strategy("ilora", {{"layers", std::string("last")}}));
  run.train_stage(1);
  const StepBatch step = second_task_step(run);
  const Terms terms = run.strategy().loss(run.learner(), step);
  at::NoGradGuard off;
  ForwardSpec spec = run.learner().active();
  spec.hidden = model::HiddenStates::kAll;
  const at::Tensor h_fast = run.learner().forward(spec, *step.find("replay")).hidden.back();
  spec.adapters[0].adapter = bank(run).find("slow");
  const at::Tensor h_slow = run.learner().forward(spec, *step.find("replay")).hidden.back();
  CHECK(terms[2].value.item<double>() == Approx((h_fast - h_slow).square().mean().item<double>()).epsilon(1e-5));
}

TEST_CASE("the probe records the ways between minima and changes nothing", "[ilora]") {
  const auto with =
      trained("ilora", {{"probe", true}, {"probe_points", std::int64_t{3}}, {"probe_steps", std::int64_t{2}}});
  const auto without = trained("ilora");
  CHECK(at::equal(with->all_values(), without->all_values()));
  std::vector<std::string> names;
  for (const auto& array : with->sink.arrays) names.push_back(array.name);
  CHECK(names == std::vector<std::string>{"connectivity/line/loss/2", "connectivity/line/accuracy/2",
                                          "connectivity/curve/loss/2", "connectivity/curve/accuracy/2"});
  CHECK(without->sink.arrays.empty());
}

TEST_CASE("i-lora learns fifty tasks in a row within its buffer", "[ilora]") {
  ToyOptions options;
  options.tasks = 50;
  options.samples = 4;
  options.train.epochs = 1;
  ToyRun run(make_strategy("ilora", {{"capacity", std::int64_t{20}}}), options);
  std::vector<std::int64_t> bytes;
  for (std::int64_t stage = 1; stage <= run.stages(); ++stage) {
    run.train_stage(stage);
    StateSizer sizer;
    sizer.object("strategy", run.strategy());
    bytes.push_back(sizer.bytes());
  }
  // The buffer is full after five tasks; a sample holds at most nine tokens.
  CHECK(std::abs(bytes.back() - bytes[5]) <= 20 * 6 * 8);
  for (const double loss : run.sink.losses()) CHECK(std::isfinite(loss));
}

TEST_CASE("on an encoder-decoder all hidden states of both count, and the released padding is refused", "[ilora]") {
  ToyRun run(make_strategy("ilora"), encoder_decoder());
  run.train_stage(1);
  const StepBatch step = second_task_step(run);
  const Terms terms = run.strategy().loss(run.learner(), step);
  at::NoGradGuard off;
  ForwardSpec spec = run.learner().active();
  spec.hidden = model::HiddenStates::kAll;
  const auto h_fast = run.learner().forward(spec, *step.find("replay")).hidden;
  spec.adapters[0].adapter = bank(run).find("slow");
  const auto h_slow = run.learner().forward(spec, *step.find("replay")).hidden;
  REQUIRE(h_fast.size() == 6);  // embeddings and two layers, twice
  double sum = 0;
  for (std::size_t i = 0; i < h_fast.size(); ++i) sum += (h_fast[i] - h_slow[i]).square().mean().item<double>();
  CHECK(terms[2].value.item<double>() == Approx(sum / 6).epsilon(1e-4));
  CHECK_THROWS_WITH(ToyRun(make_strategy("ilora", {{"variant", std::string("repo_asis")}}), encoder_decoder()),
                    Catch::Contains("needs repo_fixed"));
}
