#include "core/record/writer.h"

#include <fmt/chrono.h>
#include <fmt/ranges.h>

#include <array>
#include <chrono>
#include <deque>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "core/base/error.h"
#include "core/record/h5/h5.h"
#include "core/record/layout.h"
#include "core/record/seal.h"
#include "core/record/utf8.h"

namespace mneme::record {
namespace fs = std::filesystem;

namespace {
std::string now_utc() { return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::chrono::system_clock::now())); }

/// Rows of one table on their way to the file, where they go in whole chunks.
class TableWriter {
 public:
  TableWriter(const char* path, std::span<const h5::Column> columns, std::int64_t chunk_rows)
      : path_(path), columns_(columns), chunk_rows_(chunk_rows) {}

  /// Appends one row; the values come in the order of the columns.
  template <class... Values>
  void append(h5::File& file, const Values&... values) {
    (add(values), ...);
    if (++rows_ % chunk_rows_ == 0) flush(file);
  }

  void flush(h5::File& file) {
    file.append_rows(path_, columns_, cells_);
    cells_.clear();
    texts_.clear();
  }

  void create(h5::File& file) { file.create_table(path_, columns_, chunk_rows_); }

  /// Drops what the file holds behind the first `rows` rows.
  void cut(h5::File& file, const fs::path& name, std::int64_t rows) {
    const std::int64_t found = file.row_count(path_);
    if (found < rows)
      throw RecordError(
          fmt::format("{}: {}: the checkpoint was made after {} rows, but the record holds {}; the two do "
                      "not belong together, start the run anew",
                      name.string(), path_, rows, found));
    file.truncate_table(path_, rows);
    rows_ = rows;
  }

  std::int64_t rows() const { return rows_; }

 private:
  void add(std::int64_t value) { cells_.push_back({.integer = value}); }
  void add(double value) { cells_.push_back({.real = value}); }
  void add(const std::string& text) { cells_.push_back({.text = texts_.emplace_back(storable_utf8(text)).c_str()}); }

  const char* path_;
  std::span<const h5::Column> columns_;
  std::int64_t chunk_rows_;
  std::int64_t rows_ = 0;  ///< in the file and waiting
  std::vector<h5::Cell> cells_;
  std::deque<std::string> texts_;  ///< owns what the cells point to
};

void write_environment(h5::File& file, const RunInfo& info) {
  file.create_group(layout::kEnvironment);
  for (const char* name : layout::kEnvironmentTexts) file.set_attribute(layout::kEnvironment, name, "");
  for (const char* name : layout::kEnvironmentIntegers) file.set_attribute(layout::kEnvironment, name, std::int64_t{0});
  for (const auto& [name, text] : info.environment) file.set_attribute(layout::kEnvironment, name, storable_utf8(text));
  for (const auto& [name, value] : info.environment_integers) file.set_attribute(layout::kEnvironment, name, value);
}

void write_tasks(h5::File& file, const std::vector<TaskInfo>& tasks) {
  TableWriter table(layout::kTasks, layout::kTaskColumns, 16);
  table.create(file);
  for (const TaskInfo& task : tasks)
    table.append(file, task.name, task.metric, task.train_rows, task.eval_rows, task.test_rows, task.train_sha256,
                 task.eval_sha256, task.test_sha256);
  table.flush(file);
}

void set_status(h5::File& file, RunStatus status, const std::string& error, const std::string& finished) {
  file.set_attribute("/", "status", to_string(status));
  file.set_attribute("/", "error", storable_utf8(error));
  file.set_attribute("/", "finished", finished);
}
}  // namespace

struct RecordWriter::State {
  State(fs::path name, h5::File opened) : path(std::move(name)), file(std::move(opened)) {}

  fs::path path;
  h5::File file;
  bool resumed = false;
  bool begun = false;
  std::int64_t task_count = 0;
  TableWriter steps{layout::kSteps, layout::kStepColumns, 512};
  TableWriter terms{layout::kTerms, layout::kTermColumns, 1024};
  TableWriter examples{layout::kExamples, layout::kExampleColumns, 512};
  TableWriter costs{layout::kCosts, layout::kCostColumns, 16};
  std::map<std::string, std::vector<double>> scores;  ///< path to values [T+1, T]

  std::array<TableWriter*, 4> tables() { return {&steps, &terms, &examples, &costs}; }

  h5::File& writable() {
    if (!begun) throw RecordError(fmt::format("{}: an event came before begin()", path.string()));
    return file;
  }

  std::vector<double>& score_matrix(const std::string& where) {
    const auto cells = static_cast<std::size_t>((task_count + 1) * task_count);
    return scores.try_emplace(where, cells, std::numeric_limits<double>::quiet_NaN()).first->second;
  }

  void create(const RunInfo& info);
  void rejoin(const RunInfo& info);
  void save();
};

void RecordWriter::State::create(const RunInfo& info) {
  file.set_attribute("/", "format", layout::kFormat);
  file.set_attribute("/", "version", layout::kVersion);
  file.set_attribute("/", "run_id", info.run_id);
  file.set_attribute("/", "started", now_utc());
  set_status(file, RunStatus::kRunning, "", "");
  file.write_text(layout::kResolved, storable_utf8(info.config));
  file.write_text(layout::kOverrides, storable_utf8(info.overrides));
  write_environment(file, info);
  write_tasks(file, info.tasks);
  for (TableWriter* table : tables()) table->create(file);
  file.create_group(layout::kMetrics);
  score_matrix(layout::kScores);
}

void RecordWriter::State::rejoin(const RunInfo& info) {
  const auto compare = [&](const std::string& what, const std::string& found, const std::string& expected) {
    if (found != expected)
      throw RecordError(fmt::format("{}: the record belongs to another run: its {} is '{}', this run's is '{}'",
                                    path.string(), what, found, expected));
  };
  compare("run_id", file.attribute_text("/", "run_id"), info.run_id);
  compare("config", file.read_text(layout::kResolved), storable_utf8(info.config));
  compare("number of tasks", std::to_string(file.row_count(layout::kTasks)), std::to_string(info.tasks.size()));
  set_status(file, RunStatus::kRunning, "", "");
  std::vector<std::string> matrices = {layout::kScores};
  for (const std::string& id : file.list_datasets(layout::kMetrics))
    matrices.push_back(fmt::format("{}/{}", layout::kMetrics, id));
  for (const std::string& where : matrices) {
    Array found = file.read_array(where);
    if (found.shape != std::vector<std::int64_t>{task_count + 1, task_count})
      throw RecordError(fmt::format("{}: {}: a score matrix has shape {}; expected [{}, {}]", path.string(), where,
                                    found.shape, task_count + 1, task_count));
    score_matrix(where) = std::move(found.values);
  }
}

void RecordWriter::State::save() {
  for (TableWriter* table : tables()) table->flush(file);
  for (const auto& [where, values] : scores) file.write_array(where, {task_count + 1, task_count}, values);
  write_sealed(path, file.image());
}

RecordWriter::RecordWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}

RecordWriter::RecordWriter(fs::path file) {
  if (fs::exists(file))
    throw RecordError(
        fmt::format("{}: a record is there already; resume it, or choose another directory", file.string()));
  h5::File created = h5::File::create_in_memory(file);
  state_ = std::make_unique<State>(std::move(file), std::move(created));
}

RecordWriter::~RecordWriter() = default;

std::unique_ptr<RecordWriter> RecordWriter::resume(fs::path file, const Position& position) {
  if (!fs::exists(file)) {
    if (position == Position{}) return std::make_unique<RecordWriter>(std::move(file));
    throw RecordError(
        fmt::format("{}: the checkpoint is there, but the record is gone; start the run anew", file.string()));
  }
  h5::File loaded = h5::File::from_image(file, read_sealed(file));
  auto state = std::make_unique<State>(std::move(file), std::move(loaded));
  const std::string status = state->file.attribute_text("/", "status");
  if (status == to_string(RunStatus::kDone))
    throw RecordError(fmt::format("{}: the run is done; there is nothing to resume", state->path.string()));
  state->steps.cut(state->file, state->path, position.steps);
  state->terms.cut(state->file, state->path, position.terms);
  state->examples.cut(state->file, state->path, position.examples);
  state->costs.cut(state->file, state->path, position.costs);
  state->resumed = true;
  return std::unique_ptr<RecordWriter>(new RecordWriter(std::move(state)));
}

bool mark_failed(const fs::path& path, const std::string& error) {
  if (!fs::exists(path)) return false;
  std::optional<h5::File> file;
  try {
    file.emplace(h5::File::from_image(path, read_sealed(path)));
    if (file->attribute_text("/", "status") != to_string(RunStatus::kRunning)) return false;
  } catch (const RecordError&) {
    return false;
  }
  set_status(*file, RunStatus::kFailed, error, now_utc());
  write_sealed(path, file->image());
  return true;
}

void RecordWriter::begin(const RunInfo& info) {
  state_->task_count = static_cast<std::int64_t>(info.tasks.size());
  if (state_->resumed) {
    state_->rejoin(info);
  } else {
    state_->create(info);
  }
  state_->begun = true;
  state_->save();
}

void RecordWriter::step(const StepEvent& e) {
  state_->steps.append(state_->writable(), e.task, e.phase, e.epoch, e.step, e.lr, e.loss, e.tokens, e.seconds);
}

void RecordWriter::term(const TermEvent& e) { state_->terms.append(state_->writable(), e.step, e.name, e.value); }

void RecordWriter::example(const ExampleEvent& e) {
  state_->examples.append(state_->writable(), e.after, e.task, e.row_id, e.prediction, e.score);
}

void RecordWriter::cost(const CostEvent& e) {
  state_->costs.append(state_->writable(), e.task, e.train_seconds, e.eval_seconds, e.strategy_seconds, e.tokens,
                       e.flops, e.peak_bytes, e.trainable_parameters, e.state_bytes);
}

void RecordWriter::score(const ScoreEvent& e) {
  state_->writable();
  const std::int64_t count = state_->task_count;
  if (e.after < 0 || e.after > count || e.task < 1 || e.task > count)
    throw RecordError(fmt::format("{}: a score of task {} after {} tasks; the stream has {} tasks, counted from 1",
                                  state_->path.string(), e.task, e.after, count));
  const std::string where = e.primary ? layout::kScores : fmt::format("{}/{}", layout::kMetrics, e.metric);
  state_->score_matrix(where)[static_cast<std::size_t>(e.after * count + e.task - 1)] = e.value;
}

void RecordWriter::array(const ArrayEvent& e) {
  std::int64_t size = 1;
  for (const std::int64_t extent : e.shape) size *= extent;
  if (size != static_cast<std::int64_t>(e.values.size()))
    throw RecordError(fmt::format("{}: array '{}' has {} values; its shape asks for {}", state_->path.string(), e.name,
                                  e.values.size(), size));
  state_->writable().write_array(fmt::format("{}/{}", layout::kAnalysis, e.name), e.shape, e.values);
}

void RecordWriter::checkpoint() {
  state_->writable();
  state_->save();
}

void RecordWriter::end(RunStatus status, const std::string& error) {
  state_->writable();
  set_status(state_->file, status, error, status == RunStatus::kRunning ? "" : now_utc());
  state_->save();
}

Position RecordWriter::position() const {
  return {state_->steps.rows(), state_->terms.rows(), state_->examples.rows(), state_->costs.rows()};
}

}  // namespace mneme::record
