#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/adapter/state.h"
#include "core/event/event.h"
#include "core/strategy/learner.h"
#include "core/strategy/memory_need.h"
#include "core/strategy/sample.h"

namespace mneme {

/// One training of the stream as a method sees it: mostly one task; joint training has one stage of all tasks.
struct Stage {
  std::vector<std::int64_t> tasks;  ///< indices from 1, in stream order
};

/// The task (or joined tasks) being learnt.
struct TaskView {
  std::int64_t stage = 0;           ///< index from 1
  std::vector<std::int64_t> tasks;  ///< indices from 1
  std::string name;                 ///< the task's name, joined by "+"
  Dataset train;                    ///< training samples of these tasks, in order
  Dataset eval;                     ///< held-out samples, never those of the test split

  std::int64_t task() const { return tasks.back(); }
};

/// Settings of some trained parameters, where they differ from the rest.
struct ParameterGroup {
  AdapterId adapter = 0;
  std::optional<ParameterRole> role;   ///< only parameters of this role
  double learning_rate_scale = 1;      ///< 0: frozen exactly
  std::optional<double> weight_decay;  ///< instead of the config's
};

/// One pass of training within a task. What is not set comes from the config group `train`.
struct Phase {
  std::string name = "train";
  Dataset data;
  std::optional<std::int64_t> epochs;
  std::optional<double> learning_rate;
  std::vector<ParameterGroup> groups;
};

/// A continual-learning method. The core owns data order, forward engine, accumulation, clipping, optimiser,
/// evaluation, checkpoints and accounting; a strategy answers these calls, in the order of their firing, and uses the
/// Learner's services. Every call has a default, and all defaults together are plain sequential fine-tuning. Calls come
/// on one thread. A strategy opens no files, starts no threads and draws random numbers from Learner::random() alone.
/// State lives in members and is named in visit_state().
class Strategy {
 public:
  virtual ~Strategy();

  /// The stream as this method trains on it. Default: a stage per task.
  virtual std::vector<Stage> plan(const std::vector<TaskInfo>& tasks);

  /// What hangs on the backbone. Default: one adapter of the config group `adapter`, trained.
  virtual void attach(Learner& learner);

  /// Before a stage: new branch, snapshot, teacher, basis; may run passes or generate.
  virtual void before_task(Learner& /*learner*/, const TaskView& /*task*/) {}

  /// The samples to train on: replay mixed in, rewritten, subsampled. Default: task.train.
  virtual Dataset training_data(Learner& learner, const TaskView& task);

  /// Where one pass of training is not enough. Default: one phase over training_data().
  virtual std::vector<Phase> phases(Learner& learner, const TaskView& task);

  /// Before each phase (index from 1): what must lie between the phases of a stage.
  virtual void before_phase(Learner& /*learner*/, const TaskView& /*task*/, std::int64_t /*index*/) {}

  /// The parts of one optimiser step, from the task's own samples. Default: {"current": samples}.
  virtual StepParts compose(Learner& learner, Dataset samples);

  /// The loss of one micro-batch. May call learner.forward() many times with different adapters.
  /// Default: cross-entropy of the current samples under the trained adapters.
  virtual Terms loss(Learner& learner, const StepBatch& step);

  /// The step's gradient [n], accumulated and unclipped, to be edited in place: projections.
  virtual void before_step(Learner& /*learner*/, at::Tensor& /*gradient*/) {}

  /// The same after clipping, just before the optimiser reads it: importances.
  virtual void before_update(Learner& /*learner*/, const at::Tensor& /*gradient*/) {}

  /// After the optimiser's step: moving averages, projections of weights.
  virtual void after_step(Learner& /*learner*/) {}

  /// \return true to end the phase early.
  virtual bool after_epoch(Learner& /*learner*/, const TaskView& /*task*/, std::int64_t /*epoch*/) { return false; }

  /// After a stage's training: Fisher, bases, fusion, merging, router fit.
  virtual void after_task(Learner& /*learner*/, const TaskView& /*task*/) {}

  /// Which adapters, coefficients and prefixes answer these prompts; gates are [prompts]. Default: the trained
  /// adapters.
  virtual ForwardSpec route(Learner& learner, const PromptBatch& prompts);

  /// Answers prompts. Default: greedy generation under route(). Override to adapt at test time.
  virtual std::vector<Tokens> predict(Learner& learner, const PromptBatch& prompts);

  /// What of a generated text counts as the answer. Default: all of it.
  virtual std::string answer(const std::string& text) const { return text; }

  /// Names every piece of state once; adapters live in the bank and are saved there.
  virtual void visit_state(StateVisitor& /*visitor*/) {}

  /// What the method holds beside plain training, by its settings: asked before anything is loaded, for what `plan`
  /// foretells and for whether activations are computed again. What is a small part of the model counts nothing.
  virtual MemoryNeed memory(const MemoryCase& /*run*/) const { return {}; }
};

}  // namespace mneme
