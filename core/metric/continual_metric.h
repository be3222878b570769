#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mneme::metric {

/// What a continual metric is computed from.
struct ContinualInput {
  /// R as [T+1][T]: scores[i][j] is the score on task j+1 after training i tasks, row 0 before any; NaN where not
  /// evaluated.
  std::vector<std::vector<double>> scores;
  /// S[j]: the score on task j+1 of a model trained on it alone; may be empty.
  std::vector<double> single;
};

/// A continual metric by name, derived from R afterwards. In formulas R[i][j] and S[j] count tasks from 1.
struct ContinualMetric {
  std::string id;
  std::string version;  ///< changes whenever a value may change
  std::string formula;
  bool higher_is_better = true;
  bool needs_single = false;
  /// NaN when a cell that the formula reads is missing, or when it is not defined (backward transfer of one task).
  /// Throws DataError if R is not [T+1][T] with T >= 1, or S is neither empty nor [T].
  double (*value)(const ContinualInput&) = nullptr;
};

/// Every continual metric, sorted by id.
const std::vector<ContinualMetric>& continual_metrics();

/// The metric of that id. Throws DataError with the nearest known id.
const ContinualMetric& continual_metric(std::string_view id);

}  // namespace mneme::metric
