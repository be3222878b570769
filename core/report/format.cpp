#include "core/report/format.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/report/grid.h"

namespace mneme::report {

namespace {
/// A unit for a column of numbers, and the decimals that show its largest one with three figures.
struct Scale {
  std::string unit;  ///< "" for plain numbers and percent
  double factor = 1;
  int decimals = 0;
};

/// The largest of some units, each so many of the one before, of which the largest value has `at_least`.
Scale pick_scale(double largest, double at_least, const std::vector<std::pair<const char*, double>>& steps) {
  Scale scale{steps.front().first, 1, 0};
  for (std::size_t i = 1; i < steps.size() && largest >= at_least * scale.factor * steps[i].second; ++i)
    scale = {steps[i].first, scale.factor * steps[i].second, 0};
  const double shown = largest / scale.factor;
  scale.decimals = shown >= 100 || (scale.factor == 1 && shown == std::floor(shown)) ? 0 : shown >= 10 ? 1 : 2;
  return scale;
}

Scale scale_of(const Table& table, std::size_t column, int digits) {
  double largest = 0;
  for (const TableRow& row : table.rows)
    if (const double mean = row.cells[column].mean; !std::isnan(mean)) largest = std::max(largest, std::abs(mean));
  switch (table.columns[column].measure.unit) {
    case Unit::kScore:
      return {"", 0.01, digits};
    case Unit::kSeconds:
      return pick_scale(largest, 2, {{"s", 1}, {"min", 60}, {"h", 60}});
    case Unit::kBytes:
      return pick_scale(largest, 1, {{"B", 1}, {"KiB", 1024}, {"MiB", 1024}, {"GiB", 1024}});
    case Unit::kCount:
      return pick_scale(largest, 1, {{"", 1}, {"k", 1e3}, {"M", 1e3}, {"G", 1e3}, {"T", 1e3}, {"P", 1e3}, {"E", 1e3}});
  }
  return {};
}

std::string scaled(double value, const Scale& scale) {
  return std::isnan(value) ? "–" : fmt::format("{:.{}f}", value / scale.factor, scale.decimals);
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
/// A config value as JSON has it: numbers and truth values as such, "" as null. The digits of a run_id are a name.
nlohmann::ordered_json json_value(const std::string& key, const std::string& text) {
  if (text.empty()) return nullptr;
  if (key == "run_id") return text;
  nlohmann::ordered_json value = nlohmann::ordered_json::parse(text, nullptr, false);
  return value.is_number() || value.is_boolean() ? value : nlohmann::ordered_json(text);
}
}  // namespace

std::string format_percent(double value, int digits) { return scaled(value, {"", 0.01, digits}); }

std::vector<std::string> note_lines(const Table& table) {
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < table.notes.size(); ++i) {
    std::vector<std::string> rows;
    for (const TableRow& row : table.rows)
      if (std::find(row.notes.begin(), row.notes.end(), i) != row.notes.end()) rows.push_back(group_label(row.keys));
    lines.push_back(rows.empty() ? table.notes[i] : fmt::format("{}: {}", fmt::join(rows, "; "), table.notes[i]));
  }
  return lines;
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
    for (std::size_t k = 0; k < row.keys.size(); ++k)
      object[table.row_keys[k]] = json_value(table.row_keys[k], row.keys[k]);
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

namespace {
/// Marks the notes that rows point at in the order of the rows; those of the whole table come last.
void add_notes(const Table& table, Grid& grid) {
  std::map<std::size_t, std::string> marks;
  for (std::size_t r = 0; r < table.rows.size(); ++r)
    for (const std::size_t index : table.rows[r].notes) {
      const auto [found, is_new] = marks.try_emplace(index, note_mark(marks.size()));
      if (is_new) grid.notes.push_back({found->second, table.notes[index]});
      grid.rows[r].marks.push_back(found->second);
    }
  for (std::size_t i = 0; i < table.notes.size(); ++i)
    if (!marks.contains(i)) grid.notes.push_back({"", table.notes[i]});
}

void add_rows(const Table& table, const std::vector<Scale>& scales, Grid& grid) {
  const std::size_t metrics = table.metric_count();
  for (const TableRow& row : table.rows) {
    GridRow out;
    for (const std::string& key : row.keys) out.keys.push_back(key.empty() ? "–" : key);
    for (std::size_t c = 0; c < row.cells.size(); ++c) {
      const Cell& cell = row.cells[c];
      out.cells.push_back(
          {scaled(cell.mean, scales[c]), std::isnan(cell.std) ? "" : scaled(cell.std, scales[c]), cell.best});
      if ((c + 1) % metrics == 0) out.cells.push_back({std::to_string(row.n[c / metrics]), "", false});
    }
    grid.rows.push_back(std::move(out));
  }
}
}  // namespace

Grid make_grid(const Table& table, const FormatOptions& options) {
  Grid grid;
  grid.key_columns = table.row_keys.size();
  grid.header = table.row_keys;
  std::vector<Scale> scales;
  const std::size_t metrics = table.metric_count();
  bool scores = false;
  for (std::size_t c = 0; c < table.columns.size(); ++c) {
    const Measure& measure = table.columns[c].measure;
    const bool score = measure.unit == Unit::kScore;
    scales.push_back(scale_of(table, c, options.digits));
    grid.header.push_back(scales[c].unit.empty() ? measure.id : fmt::format("{} ({})", measure.id, scales[c].unit));
    grid.directions.push_back(!score ? 0 : measure.higher_is_better ? 1 : -1);
    scores = scores || score;
    if ((c + 1) % metrics != 0) continue;
    grid.header.emplace_back("n");
    grid.directions.push_back(0);
    if (!table.column_keys.empty()) grid.groups.push_back({group_label(table.columns[c].group), metrics + 1});
  }
  add_rows(table, scales, grid);
  add_notes(table, grid);
  grid.caption = fmt::format("{}ean ± standard deviation over n runs", scores ? "Scores in percent; m" : "M");
  return grid;
}

}  // namespace mneme::report
