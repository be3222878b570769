#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/launch/options.h"

namespace mneme::launch {

/// What mneme-run foresees for one run; 0 where unknown.
struct RunFacts {
  std::string id;
  std::string strategy;
  std::string family;  ///< model and kind of adapter: runs of one family take time in proportion to their work
  double train_work = 0, eval_work = 0, first_work = 0;  ///< training, rows of R after it, row 0; any unit
  std::int64_t memory_bytes = 0;                         ///< peak
  bool recompute = false;                                ///< activations are computed again to save memory
  std::int64_t disk_bytes = 0;                           ///< what the run leaves on disk
};

/// Reads what `mneme-run validate` printed; members that are not there stay unknown.
std::vector<RunFacts> read_facts(const std::string& json);

/// What a finished run took; 0 where unknown.
struct Measured {
  double seconds = 0;        ///< wall time from start to end in one go
  double train_seconds = 0;  ///< of training
  double eval_seconds = 0;   ///< of the rows of R after training
  std::int64_t peak_bytes = 0, disk_bytes = 0;
};

struct Prediction {
  std::optional<double> seconds;
  bool rough = false;  ///< learnt from other strategies of the family
  std::int64_t memory_bytes = 0, disk_bytes = 0;
};

/// Learns from finished runs what a unit of work takes, how long the start does, and how far off the foreseen memory
/// and disk were; kept in the user's cache. A prediction uses the medians of the latest runs of its strategy and family
/// at its place, where there are none, of the whole family.
class Calibration {
 public:
  /// \param file need not exist; one that cannot be read counts as empty.
  explicit Calibration(std::filesystem::path file);
  static std::filesystem::path default_file();

  Prediction predict(const RunFacts& facts, const std::string& place) const;
  void learn(const RunFacts& facts, const std::string& place, const Measured& measured);
  /// Adds what was learnt to the file, of which other launchers may have written in between.
  void save();

 private:
  /// Ratios of one run; 0 where unknown.
  struct Observation {
    std::string strategy;
    double start_seconds = -1;    // before row 0; negative where unknown
    double train = 0, eval = 0;   // seconds per unit of work
    double memory = 0, disk = 0;  // taken per foreseen
  };
  using Observations = std::map<std::string, std::vector<Observation>>;  // by place and family, latest last
  static Observations read(const std::filesystem::path& file);
  static std::string to_json(const Observations& observations);

  std::filesystem::path file_;
  Observations known_, learnt_;
};

/// Reads from a finished run's files what it took.
Measured measure_run(const std::filesystem::path& run_directory);

/// Where a run's time depends on: processor and threads of this machine, or partition of the cluster.
std::string calibration_place(const LauncherOptions& options);

/// A whole plan's prediction; negative or 0 where unknown.
struct PlanCost {
  double run_seconds = 0;         ///< sum over the runs whose time is known
  std::size_t known = 0;          ///< how many those are
  double wall_seconds = -1;       ///< of the sweep with so many jobs at a time; unknown unless all are known
  std::int64_t memory_bytes = 0;  ///< of the largest run
  std::int64_t disk_bytes = 0;    ///< of all
};

/// \param runs in the order in which they start; \param jobs runs at the same time, at least 1.
PlanCost plan_cost(const std::vector<Prediction>& runs, std::size_t jobs);

}  // namespace mneme::launch
