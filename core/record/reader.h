#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/event/event.h"
#include "core/record/array.h"

namespace mneme::record {
namespace h5 {
class File;
}

/// One run.h5, open for reading; every call reads its part from the file. All calls throw RecordError. The file may
/// belong to a run that is going on: it is then as of the run's last checkpoint.
class Record {
 public:
  /// Throws if the file is no record, or of a layout version that this program does not know.
  explicit Record(const std::filesystem::path& file);
  Record(Record&&) noexcept;
  Record& operator=(Record&&) noexcept;
  ~Record();

  const std::filesystem::path& path() const { return path_; }
  std::string run_id() const;
  RunStatus status() const;
  std::string error() const;
  /// ISO 8601, UTC; "" while not finished.
  std::string started() const;
  std::string finished() const;

  /// Config, overrides, environment and tasks: what the run's begin() brought.
  RunInfo info() const;
  /// Resolved config as YAML.
  std::string config() const;

  std::vector<TaskInfo> tasks() const;
  std::vector<StepEvent> steps() const;
  std::vector<TermEvent> terms() const;
  std::vector<ExampleEvent> examples() const;
  std::vector<CostEvent> costs() const;

  /// R in the tasks' primary metrics, [T+1, T]; NaN where not evaluated.
  Array scores() const;
  /// Ids below /eval/metrics, sorted, and one of their matrices [T+1, T].
  std::vector<std::string> metric_ids() const;
  Array metric(const std::string& id) const;
  /// Names below /analysis, sorted, and one of their arrays.
  std::vector<std::string> array_names() const;
  Array array(const std::string& name) const;

 private:
  std::filesystem::path path_;
  std::unique_ptr<h5::File> file_;
};

/// Every run.h5 in a run's, a sweep's or a results directory (or the file itself), sorted by path.
/// Throws RecordError if the directory does not exist.
std::vector<std::filesystem::path> find_records(const std::filesystem::path& directory);

/// The scalars of a resolved config by dotted key, for grouping runs: "strategy.name" to "ewc". Lists are one value in
/// flow form, "[1, 2]"; null is "null". Throws ConfigError if the text is no YAML map.
std::map<std::string, std::string> flat_config(const std::string& yaml);

}  // namespace mneme::record
