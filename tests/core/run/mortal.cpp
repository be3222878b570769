// Replay with all that a resumed run must bring back: a buffer with its random stream, a moving average, two adapters,
// a report. Dies where $MNEME_TEST_DIE says: "stage:step:how"; step 0 is before the stage, how is kill or throw.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <csignal>
#include <cstdlib>
#include <optional>
#include <stdexcept>

#include "core/plugin.h"

namespace {

class Mortal final : public mneme::Strategy {
 public:
  static mneme::ParamSpecs parameters() {
    return {{"capacity", mneme::ParamType::kInt, "5", ">= 1", "samples that are kept"}};
  }
  explicit Mortal(const mneme::Params& p) : capacity_(p.integer("capacity")) {}

  void attach(mneme::Learner& learner) override {
    Strategy::attach(learner);
    buffer_.emplace(capacity_, learner.random("mortal"));
  }
  void before_task(mneme::Learner& learner, const mneme::TaskView& task) override {
    stage_ = task.stage, step_ = 0;
    const mneme::AdapterId id = learner.create_adapter(task.name, task.name);
    learner.bank().set_trainable({learner.bank().trainable().front(), id});
    die_at();
  }
  mneme::StepParts compose(mneme::Learner&, mneme::Dataset samples) override {
    mneme::StepParts parts;
    parts["replay"] = buffer_->draw(2);
    for (const auto& sample : samples) buffer_->insert(sample);
    parts["current"] = std::move(samples);
    return parts;
  }
  mneme::Terms loss(mneme::Learner& learner, const mneme::StepBatch& step) override {
    mneme::Terms terms = Strategy::loss(learner, step);
    if (const auto* replay = step.find("replay"))
      terms.push_back(learner.cross_entropy(learner.active(), *replay, "replay"));
    return terms;
  }
  void after_step(mneme::Learner& learner) override {
    const at::Tensor values = learner.bank().values(learner.bank().trainable().front());
    average_ = average_.defined() ? 0.9 * average_ + 0.1 * values : values.clone();
    learner.report("average", average_.square().sum().item<double>());
    ++step_;
    die_at();
  }
  void after_task(mneme::Learner& learner, const mneme::TaskView&) override {
    learner.bank().set_trainable({learner.bank().trainable().front()});
    learner.report_array(fmt::format("average/{}", stage_), average_);
  }
  void visit_state(mneme::StateVisitor& visitor) override {
    visitor.object("buffer", *buffer_);
    visitor.tensor("average", average_);
  }

 private:
  void die_at() const {
    const char* where = std::getenv("MNEME_TEST_DIE");
    if (where == nullptr) return;
    const std::string here = fmt::format("{}:{}:", stage_, step_);
    if (where == here + "kill") std::raise(SIGKILL);
    if (where == here + "throw") throw std::runtime_error("mortal was told to die at " + here);
  }

  std::int64_t capacity_;
  std::int64_t stage_ = 0, step_ = 0;
  std::optional<mneme::ReplayBuffer> buffer_;
  at::Tensor average_;
};

}  // namespace

MNEME_STRATEGY_PLUGIN(Mortal, {.name = "mortal",
                               .version = "1.0",
                               .citation = "",
                               .summary = "Replay that dies where a test says",
                               .capabilities = mneme::kStoresExamples | mneme::kGrowsWithTasks});
