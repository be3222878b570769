#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/launch/options.h"

namespace mneme::launch {

/// What mneme-run foresees for one run.
struct RunFacts {
  std::string id;
  double work = 0;        ///< amount of work in a unit of its kind, such as floating-point operations; 0: unknown
  std::string work_kind;  ///< what kind of work: runs of one kind take time in proportion to their work
  std::int64_t memory_bytes = 0;  ///< peak; 0: unknown
  std::int64_t disk_bytes = 0;    ///< what the run leaves on disk; 0: unknown
};

/// Reads what `mneme-run validate` printed; members that are not there stay unknown.
std::vector<RunFacts> read_facts(const std::string& json);

/// Seconds per unit of work, learnt from finished runs; kept in the user's cache.
class Calibration {
 public:
  /// \param file need not exist; one that cannot be read counts as empty.
  explicit Calibration(std::filesystem::path file);
  static std::filesystem::path default_file();

  /// Predicted wall time of a run at a place, by the median of what was learnt; nothing if nothing is known.
  std::optional<double> seconds(const RunFacts& facts, const std::string& place) const;

  /// Learns from a finished run.
  void learn(const RunFacts& facts, const std::string& place, double seconds);
  /// Adds what was learnt to the file, of which other launchers may have written in between.
  void save();

 private:
  using Rates = std::map<std::string, std::vector<double>>;  // by place and kind, latest last
  static Rates read(const std::filesystem::path& file);

  std::filesystem::path file_;
  Rates rates_;
  Rates learnt_;
};

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

/// \param seconds one per run, nothing where unknown; \param jobs runs at the same time, at least 1.
PlanCost plan_cost(const std::vector<RunFacts>& facts, const std::vector<std::optional<double>>& seconds,
                   std::size_t jobs);

}  // namespace mneme::launch
