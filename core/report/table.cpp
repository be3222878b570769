#include "core/report/table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/report/keys.h"

namespace mneme::report {

namespace {
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
using Values = std::vector<std::string>;
using Group = std::vector<const Result*>;

struct NaturalOrder {
  bool operator()(const Values& a, const Values& b) const {
    return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(), natural_less);
  }
};

Cell summarise(const std::vector<double>& values) {
  Cell cell;
  double sum = 0;
  for (const double value : values) sum += value;
  cell.n = static_cast<std::int64_t>(values.size());
  if (values.empty()) return cell;
  const auto n = static_cast<double>(values.size());
  cell.mean = sum / n;
  if (values.size() < 2) return cell;
  double squares = 0;
  for (const double value : values) squares += (value - cell.mean) * (value - cell.mean);
  cell.std = std::sqrt(squares / (n - 1));
  return cell;
}

/// Collects notes, each text once.
std::size_t note(std::vector<std::string>& notes, const std::string& text) {
  const auto found = std::find(notes.begin(), notes.end(), text);
  if (found != notes.end()) return static_cast<std::size_t>(found - notes.begin());
  notes.push_back(text);
  return notes.size() - 1;
}

class TableMaker {
 public:
  TableMaker(const Results& results, const TableOptions& options) : results_(results), options_(options) {
    const auto& runs = results.runs;
    table_.notes = results.notes;
    for (const auto* keys : {&options.rows, &options.cols})
      for (const std::string& key : *keys) check_key(key);
    table_.column_keys = options.cols;
    table_.row_keys = options.rows.empty() ? default_row_keys(runs, options.cols) : options.rows;
    measures_ = resolve_measures(options.metrics.empty() ? kDefaultMetrics : options.metrics, runs);
    for (const Result& run : runs) {
      groups_[values_of(run, table_.row_keys)][values_of(run, table_.column_keys)].push_back(&run);
      column_groups_.insert(values_of(run, table_.column_keys));
      if (!run.value("seed").empty()) seeds_.insert(run.value("seed"));
    }
    for (const auto* keys : {&table_.row_keys, &table_.column_keys})
      seed_is_shown_ = seed_is_shown_ || std::find(keys->begin(), keys->end(), "seed") != keys->end();
    if (!options.single.empty()) find_singles();
  }

  Table make() {
    for (const Values& group : column_groups_)
      for (const Measure& measure : measures_) table_.columns.push_back({measure, group});
    for (const auto& [keys, by_column] : groups_) add_row(keys, by_column);
    mark_best();
    return std::move(table_);
  }

 private:
  void check_key(const std::string& key) const {
    const auto& runs = results_.runs;
    const bool known =
        std::any_of(runs.begin(), runs.end(), [&](const Result& run) { return !run.value(key).empty(); });
    if (!known) throw UsageError(fmt::format("no run has the key '{}'{}", key, hint(key, known_keys(runs))));
  }

  void find_singles() {
    const auto [key, value] = split_selector(options_.single);
    for (const Result& run : results_.runs)
      if (run.status == RunStatus::kDone && run.value(key) == value) singles_.push_back(&run);
  }

  /// S for a run: the diagonal of the single-task runs of the same tasks that share every key which tells rows or
  /// columns apart other than by strategy; of the same seed where there are such, else their mean over seeds.
  std::vector<double> single_scores(const Result& run) const {
    std::vector<const Result*> fitting;
    for (const Result* single : singles_)
      if (single->tasks == run.tasks && values_of(*single, shared_keys()) == values_of(run, shared_keys()))
        fitting.push_back(single);
    const auto same_seed = [&](const Result* single) { return single->value("seed") == run.value("seed"); };
    if (std::any_of(fitting.begin(), fitting.end(), same_seed)) std::erase_if(fitting, std::not_fn(same_seed));
    std::vector<double> scores;
    for (std::size_t j = 0; j < run.tasks.size() && !fitting.empty(); ++j) {
      double sum = 0;
      for (const Result* single : fitting) sum += single->scores[j + 1][j];
      scores.push_back(sum / static_cast<double>(fitting.size()));
    }
    return scores;
  }

  Values shared_keys() const {
    Values keys;
    for (const auto* list : {&table_.row_keys, &table_.column_keys})
      for (const std::string& key : *list)
        if (!is_strategy_key(key)) keys.push_back(key);
    return keys;
  }

  void add_row(const Values& keys, const std::map<Values, Group, NaturalOrder>& by_column) {
    TableRow row;
    row.keys = keys;
    for (const Values& group : column_groups_) {
      const auto found = by_column.find(group);
      const Group runs = found == by_column.end() ? Group{} : found->second;
      add_group(row, group, runs);
    }
    std::sort(row.notes.begin(), row.notes.end());
    row.notes.erase(std::unique(row.notes.begin(), row.notes.end()), row.notes.end());
    table_.rows.push_back(std::move(row));
  }

  void add_group(TableRow& row, const Values& group, const Group& runs) {
    Group done;
    for (const Result* run : runs)
      if (run->status == RunStatus::kDone) done.push_back(run);
    row.n.push_back(static_cast<std::int64_t>(done.size()));
    const std::string where = group.empty() ? "" : fmt::format("{}: ", fmt::join(group, ", "));
    note_unfinished(row, where, runs);
    note_averaged(row, where, done);
    for (const Measure& measure : measures_) row.cells.push_back(summarise_group(row, where, measure, done));
  }

  void note_row(TableRow& row, const std::string& text) { row.notes.push_back(note(table_.notes, text)); }

  void note_unfinished(TableRow& row, const std::string& where, const Group& runs) {
    std::set<std::string> here;
    for (const Result* run : runs) {
      const std::string& seed = run->value("seed");
      here.insert(seed);
      if (run->status == RunStatus::kDone) continue;
      const std::string name = seed.empty() ? "run " + run->run_id : "seed " + seed;
      const std::string reason = run->error.substr(0, run->error.find('\n'));
      if (run->status == RunStatus::kRunning) {
        note_row(row, fmt::format("{}{} is at task {} of {} or was killed, not counted", where, name,
                                  std::min(run->costs.size() + 1, run->tasks.size()), run->tasks.size()));
      } else {
        note_row(row, fmt::format("{}{} {}, not counted{}{}", where, name, to_string(run->status),
                                  reason.empty() ? "" : ": ", reason));
      }
    }
    if (runs.empty()) return note_row(row, fmt::format("{}no runs", where));
    if (seed_is_shown_) return;
    Values missing;
    std::set_difference(seeds_.begin(), seeds_.end(), here.begin(), here.end(), std::back_inserter(missing));
    std::sort(missing.begin(), missing.end(), natural_less);
    if (missing.empty()) return;
    constexpr std::size_t kShown = 10;
    const std::size_t count = missing.size();
    if (count > kShown) missing.resize(kShown);
    note_row(row, fmt::format("{}seed{} {}{} missing", where, count == 1 ? "" : "s", fmt::join(missing, ", "),
                              count > kShown ? fmt::format(" and {} more", count - kShown) : ""));
  }

  /// A mean over more than seeds must not pass for one over seeds.
  void note_averaged(TableRow& row, const std::string& where, const Group& done) {
    for (const std::string& key : distinguishing_keys(done, {})) {
      std::set<std::string> values;
      for (const Result* run : done) values.insert(run->value(key));
      note_row(row, fmt::format("{}mean over {} values of {}, not over seeds alone", where, values.size(), key));
    }
  }

  Cell summarise_group(TableRow& row, const std::string& where, const Measure& measure, const Group& done) {
    std::vector<double> values;
    for (const Result* run : done) {
      const double value = measure.value(*run, measure.needs_single ? single_scores(*run) : std::vector<double>{});
      if (!std::isnan(value)) values.push_back(value);
    }
    if (values.size() == done.size()) return summarise(values);
    if (measure.needs_single && values.empty()) {
      note(table_.notes, fmt::format("{} needs the single-task scores S: runs of {} on the same tasks", measure.id,
                                     options_.single.empty() ? "each task alone" : options_.single));
    } else {
      note_row(row, fmt::format("{}{} is not defined in {} of {} runs", where, measure.id, done.size() - values.size(),
                                done.size()));
    }
    return summarise(values);
  }

  /// Marks the best mean of each metric among cells that differ in the strategy only.
  void mark_best() {
    using Block = std::pair<Values, std::size_t>;  ///< what is not of the strategy, and the metric
    std::map<Block, std::vector<Cell*>> blocks;
    for (TableRow& row : table_.rows)
      for (std::size_t c = 0; c < table_.columns.size(); ++c) {
        Values shared;
        for (std::size_t k = 0; k < row.keys.size(); ++k)
          if (!is_strategy_key(table_.row_keys[k])) shared.push_back(row.keys[k]);
        for (std::size_t k = 0; k < table_.column_keys.size(); ++k)
          if (!is_strategy_key(table_.column_keys[k])) shared.push_back(table_.columns[c].group[k]);
        blocks[{shared, c % measures_.size()}].push_back(&row.cells[c]);
      }
    for (auto& [block, cells] : blocks) mark_best_of(cells, measures_[block.second]);
  }

  static void mark_best_of(const std::vector<Cell*>& cells, const Measure& measure) {
    if (measure.unit != Unit::kScore) return;
    std::size_t defined = 0;
    double best = kNaN;
    for (const Cell* cell : cells) {
      if (std::isnan(cell->mean)) continue;
      ++defined;
      if (std::isnan(best) || (measure.higher_is_better ? cell->mean > best : cell->mean < best)) best = cell->mean;
    }
    if (defined < 2) return;
    // Equal but for rounding is equal.
    for (Cell* cell : cells) cell->best = std::abs(cell->mean - best) <= 1e-12;
  }

  const Results& results_;
  const TableOptions& options_;
  Table table_;
  std::vector<Measure> measures_;
  std::map<Values, std::map<Values, Group, NaturalOrder>, NaturalOrder> groups_;
  std::set<Values, NaturalOrder> column_groups_;
  std::set<std::string> seeds_;
  bool seed_is_shown_ = false;  ///< as a row or column key: a seed is then not missing in a cell
  Group singles_;
};
}  // namespace

std::vector<std::string> default_row_keys(const std::vector<Result>& runs, const std::vector<std::string>& cols) {
  Group all;
  for (const Result& run : runs) all.push_back(&run);
  Values keys;
  if (std::find(cols.begin(), cols.end(), "strategy") == cols.end()) keys.emplace_back("strategy");
  Values given = cols;
  given.emplace_back("strategy");
  for (std::string& key : distinguishing_keys(all, given)) keys.push_back(std::move(key));
  return keys;
}

Table make_table(const Results& results, const TableOptions& options) { return TableMaker(results, options).make(); }

}  // namespace mneme::report
