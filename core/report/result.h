#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/event/event.h"

namespace mneme::report {

/// [T+1][T]: row i is after training i tasks, column j is task j+1; NaN where not evaluated.
using Matrix = std::vector<std::vector<double>>;

/// What a table needs of one run's record.
struct Result {
  std::filesystem::path path;  ///< of run.h5
  std::string run_id;
  RunStatus status = RunStatus::kRunning;
  std::string error;
  std::string finished;                       ///< ISO 8601, UTC; "" while running
  std::map<std::string, std::string> config;  ///< resolved config, dotted key to text
  std::vector<std::string> tasks;             ///< names in training order
  Matrix scores;                              ///< R in the tasks' primary metrics
  std::map<std::string, Matrix> metrics;      ///< the same in further metrics, by id
  std::vector<CostEvent> costs;

  /// Value of a config key; a group's name stands for the group ("strategy" is "strategy.name"), and "run_id" is known
  /// too. "" if the run has no such key.
  const std::string& value(const std::string& key) const;
};

/// The results in some directories, in an order that does not depend on how the directories were given.
struct Results {
  std::vector<Result> runs;
  std::vector<std::string>
      notes;  ///< what was left out and why: unreadable records, repeated runs, runs without a record
};

/// Reads every record below the directories. A record that cannot be read becomes a note. Of several records of the
/// same resolved config the finished, then the latest counts. Throws RecordError if there is no readable record at all.
Results load_results(const std::vector<std::filesystem::path>& directories);

/// Compares texts as people sort them: numbers by value, the rest by character.
bool natural_less(const std::string& a, const std::string& b);

}  // namespace mneme::report
