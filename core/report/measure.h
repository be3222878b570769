#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/report/result.h"

namespace mneme::report {

enum class Unit { kScore, kSeconds, kBytes, kCount };

/// One number of a run that a table can show.
struct Measure {
  std::string id;
  Unit unit = Unit::kScore;
  bool higher_is_better = true;
  bool needs_single = false;
  std::string formula = {};
  /// \param single S, [T] or empty. NaN where the run does not define it.
  std::function<double(const Result&, const std::vector<double>& single)> value = {};
};

/// Measures by id: a continual metric ("aa.last", formulas in core/metric), "task.<name>" (final score), a cost
/// ("train_seconds", summed over tasks; "peak_bytes", the largest; "state_bytes", the last); a score with "@<metric>"
/// reads that matrix of /eval/metrics instead of R. "tasks" stands for every task and "aa.last".
/// Throws UsageError with the nearest known id.
std::vector<Measure> resolve_measures(const std::vector<std::string>& ids, const std::vector<Result>& runs);

}  // namespace mneme::report
