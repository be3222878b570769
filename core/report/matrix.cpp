#include "core/report/matrix.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/report/format.h"
#include "core/report/grid.h"
#include "core/report/keys.h"

namespace mneme::report {

namespace {
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

struct NaturalOrder {
  using Group = std::pair<std::vector<std::string>, std::vector<std::string>>;  ///< row keys, tasks
  bool operator()(const Group& a, const Group& b) const {
    if (a.first == b.first) return a.second < b.second;
    return std::lexicographical_compare(a.first.begin(), a.first.end(), b.first.begin(), b.first.end(), natural_less);
  }
};

Matrix mean_matrix(const std::vector<const Result*>& runs) {
  Matrix mean = runs.front()->scores;
  for (std::size_t i = 0; i < mean.size(); ++i)
    for (std::size_t j = 0; j < mean[i].size(); ++j) {
      double sum = 0;
      int count = 0;
      for (const Result* run : runs)
        if (const double value = run->scores[i][j]; !std::isnan(value)) sum += value, ++count;
      mean[i][j] = count > 0 ? sum / count : kNaN;
    }
  return mean;
}

std::string title_of(const std::vector<std::string>& keys, const std::vector<std::string>& values) {
  std::vector<std::string> parts;
  for (std::size_t k = 0; k < keys.size(); ++k)
    if (!values[k].empty())
      parts.push_back(keys[k] == "strategy" ? values[k] : fmt::format("{}={}", keys[k], values[k]));
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string pad(const std::string& text, std::size_t width, bool right) {
  const std::size_t taken = display_width(text);
  const std::string blanks(width > taken ? width - taken : 0, ' ');
  return right ? blanks + text : text + blanks;
}
}  // namespace

std::vector<MatrixPanel> make_panels(const Results& results, const TableOptions& options) {
  std::vector<std::string> keys = options.rows.empty() ? default_row_keys(results.runs, options.cols) : options.rows;
  keys.insert(keys.end(), options.cols.begin(), options.cols.end());
  std::map<NaturalOrder::Group, std::vector<const Result*>, NaturalOrder> groups;
  for (const Result& run : results.runs)
    if (run.status == RunStatus::kDone) groups[{values_of(run, keys), run.tasks}].push_back(&run);
  std::vector<MatrixPanel> panels;
  for (const auto& [group, runs] : groups)
    panels.push_back(
        {title_of(keys, group.first), group.second, mean_matrix(runs), static_cast<std::int64_t>(runs.size())});
  return panels;
}

double mean_of_seen(const MatrixPanel& panel, std::size_t row) {
  double sum = 0;
  for (std::size_t j = 0; j < row; ++j) sum += panel.mean[row][j];
  return row == 0 ? kNaN : sum / static_cast<double>(row);
}

std::string format_matrix(const MatrixPanel& panel, int digits) {
  const std::size_t count = panel.tasks.size();
  std::vector<std::vector<std::string>> cells{{"after training"}};
  for (const std::string& task : panel.tasks) cells[0].push_back(task);
  cells[0].emplace_back("mean of seen");
  for (std::size_t i = 0; i <= count; ++i) {
    std::vector<std::string> line{i == 0 ? "nothing" : fmt::format("{} {}", i, panel.tasks[i - 1])};
    for (std::size_t j = 0; j < count; ++j) line.push_back(format_percent(panel.mean[i][j], digits));
    line.push_back(i == 0 ? "" : format_percent(mean_of_seen(panel, i), digits));
    cells.push_back(std::move(line));
  }
  std::string out = fmt::format("{}: R in percent, mean of {} run{}\n", panel.title, panel.n, panel.n == 1 ? "" : "s");
  std::vector<std::size_t> widths(count + 2);
  for (const auto& line : cells)
    for (std::size_t c = 0; c < line.size(); ++c) widths[c] = std::max(widths[c], display_width(line[c]));
  for (const auto& line : cells) {
    std::string text = pad(line[0], widths[0], false);
    for (std::size_t c = 1; c < line.size(); ++c) text += "  " + pad(line[c], widths[c], true);
    while (text.back() == ' ') text.pop_back();
    out += text + "\n";
  }
  return out;
}

}  // namespace mneme::report
