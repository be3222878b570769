#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/event/event.h"
#include "core/plugin/loader.h"
#include "core/strategy/strategy.h"
#include "core/train/trainer.h"

namespace mneme::test {

/// Keeps every event.
class VectorSink final : public RunSink {
 public:
  void step(const StepEvent& e) override { steps.push_back(e); }
  void term(const TermEvent& e) override { terms.push_back(e); }
  void array(const ArrayEvent& e) override { arrays.push_back(e); }

  std::vector<double> losses() const;
  std::vector<double> term_values(const std::string& name) const;

  std::vector<StepEvent> steps;
  std::vector<TermEvent> terms;
  std::vector<ArrayEvent> arrays;
};

/// Shape of a toy run: a random two-layer model, tasks of random token sequences that share a prompt vocabulary but
/// want other answers, so that they interfere.
struct ToyOptions {
  std::uint64_t seed = 5;
  std::int64_t tasks = 2;
  std::int64_t samples = 12;  ///< per task
  AdapterOptions adapter = {
      .kind = "lora",
      .lora = {.rank = 2, .alpha = 4, .dropout = 0, .targets = {"q_proj", "v_proj", "down_proj"}, .first_layer = 0}};
  TrainOptions train = {.epochs = 2, .batch_size = 4, .learning_rate = 5e-3};
  bool encoder_decoder = false;
  c10::Device device = c10::kCPU;  ///< where the model runs
};

/// The same for a model with an encoder of two layers and a decoder of two.
ToyOptions encoder_decoder(ToyOptions options = {});

std::shared_ptr<model::Transformer> toy_model(std::uint64_t seed = 1, bool encoder_decoder = false,
                                              c10::Device device = c10::kCPU);
Dataset toy_samples(std::int64_t task, std::int64_t count);

/// A run of the training protocol without files: model, learner, strategy, trainer.
class ToyRun {
 public:
  ToyRun(std::unique_ptr<Strategy> strategy, ToyOptions options = {});
  ~ToyRun();

  std::int64_t stages() const { return static_cast<std::int64_t>(stages_.size()); }
  void train_stage(std::int64_t index);  ///< from 1
  void train_all();
  TaskView view(std::int64_t index) const;

  /// Every value of every adapter, in the bank's order.
  at::Tensor all_values();
  /// Greedy answers to a few prompts of each task.
  std::vector<std::vector<Tokens>> answers(bool task_id);
  void save(const std::filesystem::path& file);
  void load(const std::filesystem::path& file);
  std::string state_hash();

  VectorSink sink;
  Learner& learner() { return *learner_; }
  Strategy& strategy() { return *strategy_; }

 private:
  void visit(StateVisitor& visitor);
  ToyOptions options_;
  std::unique_ptr<Learner> learner_;
  std::unique_ptr<Strategy> strategy_;
  std::unique_ptr<Trainer> trainer_;
  std::vector<Stage> stages_;
};

/// Forwards every call to another strategy and lets a test look after each optimiser step.
class Watched final : public Strategy {
 public:
  Watched(std::unique_ptr<Strategy> inner, std::function<void(Learner&)> after_step)
      : inner_(std::move(inner)), after_step_(std::move(after_step)) {}
  std::vector<Stage> plan(const std::vector<TaskInfo>& tasks) override { return inner_->plan(tasks); }
  void attach(Learner& learner) override { inner_->attach(learner); }
  void before_task(Learner& learner, const TaskView& task) override { inner_->before_task(learner, task); }
  Dataset training_data(Learner& l, const TaskView& task) override { return inner_->training_data(l, task); }
  std::vector<Phase> phases(Learner& learner, const TaskView& task) override { return inner_->phases(learner, task); }
  void before_phase(Learner& learner, const TaskView& task, std::int64_t index) override {
    inner_->before_phase(learner, task, index);
  }
  StepParts compose(Learner& learner, Dataset samples) override { return inner_->compose(learner, std::move(samples)); }
  Terms loss(Learner& learner, const StepBatch& step) override { return inner_->loss(learner, step); }
  void before_step(Learner& learner, at::Tensor& gradient) override { inner_->before_step(learner, gradient); }
  void before_update(Learner& l, const at::Tensor& gradient) override { inner_->before_update(l, gradient); }
  void after_step(Learner& learner) override {
    inner_->after_step(learner);
    after_step_(learner);
  }
  void after_task(Learner& learner, const TaskView& task) override { inner_->after_task(learner, task); }
  ForwardSpec route(Learner& learner, const PromptBatch& prompts) override { return inner_->route(learner, prompts); }
  std::vector<Tokens> predict(Learner& l, const PromptBatch& prompts) override { return inner_->predict(l, prompts); }
  void visit_state(StateVisitor& visitor) override { inner_->visit_state(visitor); }

 private:
  std::unique_ptr<Strategy> inner_;
  std::function<void(Learner&)> after_step_;
};

/// The built plugins of this tree.
plugin::PluginRegistry& built_plugins();

/// Names or files of the plugins that the contract is checked on: $MNEME_CONTRACT_PLUGIN, else all that were built.
std::vector<std::string> plugins_under_test();

/// A built strategy with its default settings but for `changes`.
std::unique_ptr<Strategy> make_strategy(const std::string& name, const std::map<std::string, ParamValue>& changes = {});

/// Trains a strategy on the toy stream from start to end.
std::unique_ptr<ToyRun> trained(const std::string& name, const std::map<std::string, ParamValue>& changes = {},
                                const ToyOptions& options = {});

}  // namespace mneme::test
