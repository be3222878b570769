#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace mneme {

/// What a run tells about one task of its stream, in training order.
struct TaskInfo {
  std::string name;
  std::string metric;  ///< id of the primary metric
  std::int64_t train_rows = 0, eval_rows = 0, test_rows = 0;
  std::string train_sha256, eval_sha256, test_sha256;  ///< of the file, or of the generated rows
};

/// Everything that is known when a run starts.
struct RunInfo {
  std::string run_id;                                        ///< 12 hex digits, the directory's name
  std::string config;                                        ///< resolved config as YAML
  std::string overrides;                                     ///< YAML list
  std::map<std::string, std::string> environment;            ///< program_version, git_commit, compiler, …
  std::map<std::string, std::int64_t> environment_integers;  ///< threads, seed
  std::vector<TaskInfo> tasks;
};

/// One optimiser step.
struct StepEvent {
  std::int64_t task = 0;   ///< index from 1
  std::int64_t phase = 0;  ///< index from 1 within the task
  std::int64_t epoch = 0;  ///< index from 1 within the phase
  std::int64_t step = 0;   ///< index from 1 within the run
  double lr = 0;
  double loss = 0;          ///< mean over label tokens, nats, plus the weighted further terms
  std::int64_t tokens = 0;  ///< input tokens of the step, no padding
  double seconds = 0;
};

/// A named part of the loss, or a scalar that the strategy reports.
struct TermEvent {
  std::int64_t step = 0;  ///< index from 1 within the run
  std::string name;
  double value = 0;
};

/// One prediction behind a cell of R.
struct ExampleEvent {
  std::int64_t after = 0;  ///< tasks trained so far, 0 before any
  std::int64_t task = 0;   ///< index from 1
  std::string row_id;
  std::string prediction;
  double score = 0;  ///< 0 to 1 in the primary metric
};

/// One cell: the score on `task` after training `after` tasks.
struct ScoreEvent {
  std::int64_t after = 0;
  std::int64_t task = 0;  ///< index from 1
  std::string metric;
  bool primary = false;  ///< whether this is the task's own metric, the cell of R
  double value = 0;      ///< 0 to 1
};

/// What one task of the stream cost.
struct CostEvent {
  std::int64_t task = 0;  ///< index from 1
  double train_seconds = 0, eval_seconds = 0, strategy_seconds = 0;
  std::int64_t tokens = 0;
  double flops = 0;
  std::int64_t peak_bytes = 0;
  std::int64_t trainable_parameters = 0;
  std::int64_t state_bytes = 0;
};

/// An array that a strategy or an evaluator leaves for analysis: a routing confusion matrix, importances per unit.
struct ArrayEvent {
  std::string name;  ///< path below /analysis, for instance "router/confusion/3"
  std::vector<std::int64_t> shape;
  std::vector<double> values;  ///< row-major
};

enum class RunStatus { kRunning, kDone, kFailed, kDiverged };
std::string_view to_string(RunStatus status);

/// Receives what a run emits. Implementations: the HDF5 record, the progress display, vectors in tests.
class RunSink {
 public:
  virtual ~RunSink();
  virtual void begin(const RunInfo&) {}
  virtual void step(const StepEvent&) {}
  virtual void term(const TermEvent&) {}
  virtual void example(const ExampleEvent&) {}
  virtual void score(const ScoreEvent&) {}
  virtual void cost(const CostEvent&) {}
  virtual void array(const ArrayEvent&) {}
  /// A point to which a killed run may return: everything so far must be on disk.
  virtual void checkpoint() {}
  virtual void end(RunStatus, const std::string& /*error*/) {}
};

}  // namespace mneme
