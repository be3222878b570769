#include "core/report/format.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/progress.h"
#include "core/base/suggest.h"
#include "core/report/grid.h"

namespace mneme::report {

namespace {
/// 1 234 567 as "1.23 M": three figures and the largest unit that fits.
std::string with_prefix(double value, double base, const std::vector<const char*>& units) {
  std::size_t unit = 0;
  while (std::abs(value) >= base && unit + 1 < units.size()) value /= base, ++unit;
  const bool whole = unit == 0 && value == std::floor(value);
  const int decimals = whole || std::abs(value) >= 100 ? 0 : std::abs(value) >= 10 ? 1 : 2;
  return fmt::format("{:.{}f}{}{}", value, decimals, *units[unit] == 0 ? "" : " ", units[unit]);
}

std::string group_label(const std::vector<std::string>& group) {
  std::vector<std::string> shown;
  for (const std::string& value : group) shown.push_back(value.empty() ? "–" : value);
  return fmt::format("{}", fmt::join(shown, ", "));
}

/// "aa.last", or "aa.last[value]" with column keys: the name in csv and json.
std::string machine_name(const std::string& name, const std::vector<std::string>& group) {
  return group.empty() ? name : fmt::format("{}[{}]", name, fmt::join(group, ","));
}

/// RFC 4180.
std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == text.npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? "\"\"" : std::string(1, c);
  return out + '"';
}

std::string csv_number(double value) { return std::isnan(value) ? "" : fmt::format("{}", value); }

nlohmann::ordered_json json_number(double value) {
  return std::isnan(value) ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(value);
}
}  // namespace

std::string format_value(double value, Unit unit, int digits) {
  if (std::isnan(value)) return "–";
  switch (unit) {
    case Unit::kScore:
      return fmt::format("{:.{}f}", value * 100, digits);
    case Unit::kSeconds:
      return value < 100 ? fmt::format("{:.1f} s", value) : format_duration(value);
    case Unit::kBytes:
      return with_prefix(value, 1024, {"B", "KiB", "MiB", "GiB", "TiB"});
    case Unit::kCount:
      return with_prefix(value, 1000, {"", "k", "M", "G", "T", "P", "E"});
  }
  return "";
}

std::string format_text(const Table& table, const FormatOptions& options) {
  return render_text(make_grid(table, options));
}
std::string format_markdown(const Table& table, const FormatOptions& options) {
  return render_markdown(make_grid(table, options));
}
std::string format_latex(const Table& table, const FormatOptions& options) {
  return render_latex(make_grid(table, options));
}

std::string format_csv(const Table& table) {
  std::vector<std::string> header;
  for (const std::string& key : table.row_keys) header.push_back(csv_field(key));
  for (const TableColumn& column : table.columns) {
    const std::string name = machine_name(column.measure.id, column.group);
    header.push_back(csv_field(name));
    header.push_back(csv_field(name + ".std"));
  }
  std::string out = fmt::format("{}\n", fmt::join(header, ","));
  for (const TableRow& row : table.rows) {
    std::vector<std::string> fields;
    for (const std::string& key : row.keys) fields.push_back(csv_field(key));
    for (const Cell& cell : row.cells) {
      fields.push_back(csv_number(cell.mean));
      fields.push_back(csv_number(cell.std));
    }
    out += fmt::format("{}\n", fmt::join(fields, ","));
  }
  return out;
}

std::string format_json(const Table& table) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const TableRow& row : table.rows) {
    nlohmann::ordered_json object;
    for (std::size_t k = 0; k < row.keys.size(); ++k) object[table.row_keys[k]] = row.keys[k];
    for (std::size_t c = 0; c < row.cells.size(); ++c) {
      const std::string name = machine_name(table.columns[c].measure.id, table.columns[c].group);
      object[name] = json_number(row.cells[c].mean);
      object[name + ".std"] = json_number(row.cells[c].std);
    }
    for (std::size_t g = 0; g < row.n.size(); ++g)
      object[machine_name("n", table.columns[g * table.metric_count()].group)] = row.n[g];
    list.push_back(std::move(object));
  }
  return list.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string format_table(const Table& table, std::string_view format, const FormatOptions& options) {
  if (format == "text") return format_text(table, options);
  if (format == "md") return format_markdown(table, options);
  if (format == "latex") return format_latex(table, options);
  if (format == "csv") return format_csv(table);
  if (format == "json") return format_json(table);
  throw UsageError(fmt::format("unknown format '{}'{}", format, hint(format, {"text", "md", "csv", "latex", "json"})));
}

Grid make_grid(const Table& table, const FormatOptions& options) {
  Grid grid;
  grid.key_columns = table.row_keys.size();
  grid.header = table.row_keys;
  const std::size_t groups = table.group_count(), metrics = table.metric_count();
  for (std::size_t g = 0; g < groups; ++g) {
    if (!table.column_keys.empty()) grid.groups.push_back({group_label(table.columns[g * metrics].group), metrics + 1});
    for (std::size_t m = 0; m < metrics; ++m) {
      const Measure& measure = table.columns[g * metrics + m].measure;
      grid.header.push_back(measure.id);
      grid.directions.push_back(measure.unit != Unit::kScore ? 0 : measure.higher_is_better ? 1 : -1);
    }
    grid.header.emplace_back("n");
    grid.directions.push_back(0);
  }
  for (const TableRow& row : table.rows) {
    GridRow out;
    for (const std::string& key : row.keys) out.keys.push_back(key.empty() ? "–" : key);
    for (const std::size_t note : row.notes) out.notes.push_back(note);
    for (std::size_t g = 0; g < groups; ++g) {
      for (std::size_t c = g * metrics; c < (g + 1) * metrics; ++c) {
        const Cell& cell = row.cells[c];
        const Unit unit = table.columns[c].measure.unit;
        out.cells.push_back({format_value(cell.mean, unit, options.digits),
                             std::isnan(cell.std) ? "" : format_value(cell.std, unit, options.digits), cell.best});
      }
      out.cells.push_back({std::to_string(row.n[g]), "", false});
    }
    grid.rows.push_back(std::move(out));
  }
  grid.notes = table.notes;
  const auto& columns = table.columns;
  const bool scores = std::any_of(columns.begin(), columns.end(),
                                  [](const TableColumn& column) { return column.measure.unit == Unit::kScore; });
  grid.caption = fmt::format("{}ean ± standard deviation over n runs", scores ? "Scores in percent; m" : "M");
  return grid;
}

}  // namespace mneme::report
