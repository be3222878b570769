#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "core/report/measure.h"
#include "core/report/result.h"

namespace mneme::report {

struct TableOptions {
  std::vector<std::string> rows =
      {};  ///< config keys; empty: strategy and what else varies among the runs but the seed
  std::vector<std::string> cols = {};     ///< config keys whose values become columns
  std::vector<std::string> metrics = {};  ///< ids as in measure.h; empty: kDefaultMetrics
  std::string single = {};                ///< KEY=VALUE of the runs whose diagonal is S; "": there are none
};

inline const std::vector<std::string> kDefaultMetrics{"aa.last", "bwt.gem", "fgt.max", "plasticity"};

/// Over the runs of a cell; NaN where undefined (std of one run, a metric that no run defines).
struct Cell {
  double mean = std::numeric_limits<double>::quiet_NaN();
  double std = std::numeric_limits<double>::quiet_NaN();  ///< sample standard deviation, n - 1
  std::int64_t n = 0;                                     ///< runs that define the metric
  bool best = false;                                      ///< among the rows that differ in the strategy only
};

struct TableColumn {
  Measure measure;
  std::vector<std::string> group;  ///< values of the column keys; empty without column keys
};

struct TableRow {
  std::vector<std::string> keys;   ///< values of the row keys; "" where the runs have no such key
  std::vector<Cell> cells;         ///< one per column
  std::vector<std::int64_t> n;     ///< finished runs, one per column group
  std::vector<std::size_t> notes;  ///< indices into Table::notes of what concerns this row
};

struct Table {
  std::vector<std::string> row_keys, column_keys;
  std::vector<TableColumn> columns;  ///< group by group, in each the metrics in the order asked for
  std::vector<TableRow> rows;
  std::vector<std::string> notes;  ///< nothing is left out of a table without a note

  std::size_t group_count() const { return rows.empty() ? 1 : rows.front().n.size(); }
  std::size_t metric_count() const { return columns.size() / group_count(); }
};

/// Groups the runs by the row and column keys and summarises each metric over the rest. Only finished runs count; the
/// others, missing seeds, and a mean over more than seeds are noted. Throws UsageError for an unknown key or metric.
Table make_table(const Results& results, const TableOptions& options);

/// Row keys where none are asked for: "strategy", and the fewest further keys that tell apart what is not told apart by
/// the strategy, the given column keys and the seed.
std::vector<std::string> default_row_keys(const std::vector<Result>& runs, const std::vector<std::string>& cols);

}  // namespace mneme::report
