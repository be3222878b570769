#include "core/strategy/connectivity.h"

#include <ATen/ATen.h>

#include "tests/support/catch.h"
#include "tests/support/toy.h"

using namespace mneme;
using namespace mneme::test;

namespace {
/// Sequential fine-tuning with a probe.
class Probed final : public Strategy {
 public:
  explicit Probed(ConnectivityOptions options) : options_(options) {}
  void attach(Learner& learner) override {
    Strategy::attach(learner);
    probe_.emplace(options_, learner.random("probe"));
  }
  void after_task(Learner& learner, const TaskView& task) override {
    minima.push_back(learner.bank().values().clone());
    probe_->after_task(learner, task);
  }
  void visit_state(StateVisitor& visitor) override { visitor.object("probe", *probe_); }

  std::vector<at::Tensor> minima;

 private:
  ConnectivityOptions options_;
  std::optional<ConnectivityProbe> probe_;
};

at::Tensor array(const ToyRun& run, const std::string& name) {
  for (const auto& event : run.sink.arrays)
    if (event.name == name) return at::tensor(event.values, at::kDouble).view(event.shape);
  FAIL("no array " << name);
  return {};
}

/// Part of the samples that greedy decoding answers as their labels say.
double greedy_accuracy(ToyRun& run, const Dataset& data) {
  double right = 0;
  for (const auto& sample : data) {
    PromptBatch prompt;
    const auto first = sample->tokens.begin() + sample->first_label;
    prompt.prompts.push_back({Tokens(sample->tokens.begin(), first), sample->label_count(), {sample->tokens.back()}});
    const Tokens answer = run.learner().generate(run.learner().active(), prompt).front();
    right += answer == Tokens(first, sample->tokens.end()) ? 1 : 0;
  }
  return right / static_cast<double>(data.size());
}

ToyOptions learnt_well() {
  ToyOptions options;
  options.tasks = 3;
  options.train.epochs = 10;
  options.train.learning_rate = 1e-2;
  return options;
}
}  // namespace

TEST_CASE("the line holds loss and accuracy of every task between two minima", "[connectivity]") {
  auto strategy = std::make_unique<Probed>(ConnectivityOptions{.points = 5, .samples = 4});
  Probed& probed = *strategy;
  ToyRun run(std::move(strategy), learnt_well());
  run.train_all();
  const at::Tensor losses = array(run, "connectivity/line/loss/3"), hits = array(run, "connectivity/line/accuracy/3");
  REQUIRE(losses.sizes() == at::IntArrayRef{5, 3});
  for (std::int64_t i = 0; i < 5; ++i) {
    const double x = static_cast<double>(i) / 4;
    run.learner().bank().values().copy_((1 - x) * probed.minima[1] + x * probed.minima[2]);
    for (std::int64_t task = 1; task <= 3; ++task) {
      const Dataset held_out = run.view(task).eval;
      const double loss = run.learner().mean_loss(run.learner().active(), held_out);
      CHECK(losses[i][task - 1].item<double>() == Approx(loss).epsilon(1e-4));
      CHECK(hits[i][task - 1].item<double>() == Approx(greedy_accuracy(run, held_out)).margin(1e-12));
    }
  }
  CHECK(array(run, "connectivity/line/loss/2").sizes() == at::IntArrayRef{5, 2});
}

TEST_CASE("the curve has the ends of the line and is bent to a lower loss", "[connectivity]") {
  ToyRun run(std::make_unique<Probed>(
                 ConnectivityOptions{.points = 5, .samples = 12, .bend_steps = 120, .bend_learning_rate = 0.02}),
             learnt_well());
  run.train_stage(1);
  run.train_stage(2);
  const at::Tensor line = array(run, "connectivity/line/loss/2"), curve = array(run, "connectivity/curve/loss/2");
  for (const std::int64_t end : {0, 4}) CHECK(at::allclose(line[end], curve[end], 1e-4));
  CHECK(curve.narrow(0, 1, 3).mean().item<double>() < line.narrow(0, 1, 3).mean().item<double>());
}

TEST_CASE("the probe only looks, and goes on after a resume", "[connectivity]") {
  const ToyOptions options = learnt_well();
  const ConnectivityOptions probe{.points = 3, .samples = 4, .bend_steps = 3};
  ToyRun with(std::make_unique<Probed>(probe), options), before(std::make_unique<Probed>(probe), options);
  const auto without = trained("seq", {}, options);
  with.train_all();
  CHECK(with.sink.losses() == without->sink.losses());
  CHECK(at::equal(with.all_values(), without->all_values()));

  before.train_stage(1);
  const auto file = std::filesystem::temp_directory_path() / "mneme-connectivity-state.safetensors";
  before.save(file);
  ToyRun after(std::make_unique<Probed>(probe), options);
  after.load(file);
  std::filesystem::remove(file);
  after.train_stage(2);
  after.train_stage(3);
  CHECK(after.state_hash() == with.state_hash());
  CHECK(at::equal(array(after, "connectivity/curve/loss/3"), array(with, "connectivity/curve/loss/3")));
}
