#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "core/event/event.h"

namespace mneme::record {

/// How far a record's append-only tables had grown at a checkpoint. A trainer keeps it beside its own state, so that
/// both agree wherever a run was killed. Score cells and arrays need no place here: a resumed run writes them again,
/// equal.
struct Position {
  std::int64_t steps = 0, terms = 0, examples = 0, costs = 0;
  bool operator==(const Position&) const = default;
};

/// Writes run.h5 (layout version 1, README.md). The file is built in memory and replaces the one on disk as a whole at
/// begin(), checkpoint() and end(): whenever a process is killed, the file on disk is complete, with status "running"
/// and the content of the last of these calls. A reader may open it at any time. All calls throw RecordError.
class RecordWriter final : public RunSink {
 public:
  /// A new record; nothing is on disk before begin(). Throws if the file is there: a record is never overwritten.
  explicit RecordWriter(std::filesystem::path file);

  /// Continues a record after `position`, the value of position() at the checkpoint that the run returns to; what was
  /// written behind it is dropped. The following begin() must bring the same run. A file that is not there starts
  /// afresh. Throws if the record is done, damaged, or shorter than the position.
  static std::unique_ptr<RecordWriter> resume(std::filesystem::path file, const Position& position);
  ~RecordWriter() override;

  void begin(const RunInfo& info) override;
  void step(const StepEvent& event) override;
  void term(const TermEvent& event) override;
  void example(const ExampleEvent& event) override;
  void score(const ScoreEvent& event) override;
  void cost(const CostEvent& event) override;
  void array(const ArrayEvent& event) override;
  void checkpoint() override;
  void end(RunStatus status, const std::string& error) override;

  /// Rows emitted so far.
  Position position() const;

 private:
  struct State;
  explicit RecordWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Gives the record of a run that died without a word its last one: status failed, the error, now as its end. Only a
/// record with status "running" is changed; a file that is not there or cannot be read is left alone.
/// \return whether it was changed. Throws RecordError if the file cannot be replaced.
bool mark_failed(const std::filesystem::path& file, const std::string& error);

}  // namespace mneme::record
