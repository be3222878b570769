#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/report/table.h"

namespace mneme::report {

/// How people's formats (text, md, latex) show numbers; csv and json always hold them in full, scores from 0 to 1.
struct FormatOptions {
  int digits = 1;  ///< decimals of scores in percent
};

/// Aligned columns for a terminal; the best value of a column carries a star.
std::string format_text(const Table& table, const FormatOptions& options = {});

/// A GitHub table; the best value is bold.
std::string format_markdown(const Table& table, const FormatOptions& options = {});

/// A tabular with booktabs rules; the best value is bold. Notes stand below it in footnote size.
std::string format_latex(const Table& table, const FormatOptions& options = {});

/// A header line, then one line per row: the row keys, then `<metric>` and `<metric>.std` for each metric. With column
/// keys the names are `<metric>[<value>]` and `<metric>[<value>].std`. Undefined values are empty.
std::string format_csv(const Table& table);

/// A list of objects with the names of the csv columns and `n` (`n[<value>]` with column keys); undefined is null. Row
/// keys are numbers where the config has numbers.
std::string format_json(const Table& table);

/// The table in the format of that name: text, md, csv, latex, json. Throws UsageError.
std::string format_table(const Table& table, std::string_view format, const FormatOptions& options = {});

/// The notes as lines for a terminal, each with the rows that it concerns: what csv and json have no place for.
std::vector<std::string> note_lines(const Table& table);

/// A score in percent; "–" if NaN.
std::string format_percent(double value, int digits);

}  // namespace mneme::report
