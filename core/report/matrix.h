#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/report/result.h"
#include "core/report/table.h"

namespace mneme::report {

/// R of a group of runs of the same tasks: the mean of each cell over the runs that evaluated it.
struct MatrixPanel {
  std::string title;               ///< values of the row keys
  std::vector<std::string> tasks;  ///< in training order
  Matrix mean;                     ///< [T+1][T]
  std::int64_t n = 0;              ///< finished runs
};

/// One panel per row of the table that the same options give, and per order of tasks in it.
std::vector<MatrixPanel> make_panels(const Results& results, const TableOptions& options);

/// Mean of a row over the tasks trained so far; NaN for row 0 and where a cell is missing.
double mean_of_seen(const MatrixPanel& panel, std::size_t row);

/// The matrix in percent with row and column names.
std::string format_matrix(const MatrixPanel& panel, int digits = 1);

}  // namespace mneme::report
