#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/eval/evaluator.h"
#include "core/record/writer.h"
#include "core/run/build.h"
#include "core/run/progress_file.h"
#include "core/run/run.h"
#include "core/train/trainer.h"

namespace mneme::run {

/// Somebody asked the run to stop: it may go on another time.
class Stopped final : public Error {
 public:
  using Error::Error;
  ~Stopped() override;
};

/// One run, built: model, stream, strategy, trainer and evaluator, and the protocol that drives them.
class Session {
 public:
  /// Builds everything and, where `directory`/checkpoints holds a state, returns to it.
  Session(std::filesystem::path directory, const config::Node& resolved, plugin::PluginRegistry& plugins,
          StopQuery stop);
  ~Session();

  /// Row 0, then train stage i and evaluate all tasks, until the stream ends. Throws Diverged, Stopped and any Error.
  void run();

  /// Gives model, strategy and samples back: a record is written even where a run ended for want of memory.
  void release();

  /// Writes the record's last word.
  void end(RunStatus status, const std::string& error);

 private:
  RunInfo info() const;
  /// Whether activations are computed again, with a line in the log.
  bool settle_recompute(const model::TransformerConfig& config, const Dataset& largest) const;
  LearnerOptions learner_options(bool recompute) const;
  void visit_progress(StateVisitor& visitor);
  void visit_state(StateVisitor& visitor);
  void checkpoint();
  void plan_stages();
  void run_stage(const Stage& stage);
  double evaluate(std::int64_t after);
  TaskView view(const Stage& stage) const;
  void save_adapters(std::int64_t after);
  std::filesystem::path state_file() const { return directory_ / "checkpoints" / "state.safetensors"; }

  double expected_samples(const Stage& stage) const;
  double prompts_in_row(std::int64_t after) const;
  /// Says where the run stands (done_ is filled in). Throws Stopped if it is to stop.
  void tell(ProgressMoment moment);

  std::filesystem::path directory_;
  StopQuery stop_;
  config::Node resolved_;
  RunOptions options_;
  const PluginDescriptor& descriptor_;
  data::Stream stream_;
  std::unique_ptr<text::Tokenizer> tokenizer_;
  std::vector<TaskInfo> tasks_;
  std::vector<Dataset> train_, eval_;
  std::unique_ptr<record::RecordWriter> record_;
  std::optional<Learner> learner_;
  std::unique_ptr<Strategy> strategy_;
  std::optional<Trainer> trainer_;
  std::optional<Evaluator> evaluator_;
  std::vector<Stage> stages_;
  std::optional<ProgressFile> progress_;
  Work done_;  // of the whole run

  std::int64_t stages_done_ = -1;  // -1: not even row 0
  record::Position position_;      // of the record at the last checkpoint
};

}  // namespace mneme::run
