#include "core/report/result.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <tuple>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/record/reader.h"

namespace mneme::report {
namespace fs = std::filesystem;

namespace {
Matrix to_matrix(const record::Array& array, std::size_t tasks, const fs::path& path) {
  const auto columns = static_cast<std::int64_t>(tasks);
  if (array.shape != std::vector<std::int64_t>{columns + 1, columns})
    throw RecordError(fmt::format("{}: a score matrix has shape {}; expected [{}, {}], since the stream has {} tasks",
                                  path.string(), array.shape, columns + 1, columns, columns));
  Matrix matrix;
  for (std::int64_t row = 0; row <= columns; ++row) {
    const auto first = array.values.begin() + row * columns;
    matrix.emplace_back(first, first + columns);
  }
  return matrix;
}

Result load_result(const fs::path& path) {
  const record::Record record(path);
  Result result{path, record.run_id(), record.status(), record.error(), record.finished(), {}, {}, {}, {}, {}};
  result.config = record::flat_config(record.config());
  for (const TaskInfo& task : record.tasks()) result.tasks.push_back(task.name);
  result.scores = to_matrix(record.scores(), result.tasks.size(), path);
  for (const std::string& id : record.metric_ids())
    result.metrics[id] = to_matrix(record.metric(id), result.tasks.size(), path);
  result.costs = record.costs();
  return result;
}

/// Of two records of one config: the finished, then the latest, then the first path.
bool preferred(const Result& a, const Result& b) {
  const auto rank = [](const Result& r) {
    return r.status == RunStatus::kDone ? 2 : r.status == RunStatus::kRunning ? 0 : 1;
  };
  if (rank(a) != rank(b)) return rank(a) > rank(b);
  if (a.finished != b.finished) return a.finished > b.finished;
  return a.path < b.path;
}

void sort_runs(std::vector<Result>& runs) {
  std::sort(runs.begin(), runs.end(), [](const Result& a, const Result& b) {
    return a.config != b.config ? a.config < b.config : preferred(a, b);
  });
}

/// Keeps one record per config.
void drop_repeated(Results& results) {
  std::vector<Result> kept;
  std::size_t dropped = 0;
  for (Result& run : results.runs) {
    if (!kept.empty() && kept.back().config == run.config) {
      ++dropped;
    } else {
      kept.push_back(std::move(run));
    }
  }
  results.runs = std::move(kept);
  if (dropped > 0)
    results.notes.push_back(fmt::format(
        "{} {} of a config that another record holds too: of each config the finished, then the latest record counts",
        dropped, dropped == 1 ? "record is" : "records are"));
}

/// The list of runs that the sweep around a path declares; none if there is no readable one.
std::optional<nlohmann::json> declared_runs(const fs::path& file) {
  if (!fs::is_regular_file(file)) return std::nullopt;
  const nlohmann::json list = nlohmann::json::parse(read_file(file), nullptr, false);
  return list.is_array() ? std::optional(list) : std::nullopt;
}

/// Notes the runs that a sweep declares and that left no record below it.
void note_missing(const fs::path& sweep, Results& results) {
  const auto list = declared_runs(sweep / "runs.json");
  if (!list) return;
  std::vector<std::string> missing;
  for (const auto& run : *list) {
    if (!run.is_object() || !run.contains("id") || !run["id"].is_string()) continue;
    const std::string id = run["id"];
    if (fs::exists(sweep / id / "run.h5")) continue;
    std::vector<std::string> overrides;
    if (run.contains("overrides") && run["overrides"].is_array())
      for (const auto& text : run["overrides"])
        if (text.is_string()) overrides.push_back(text);
    missing.push_back(overrides.empty() ? id : fmt::format("{} ({})", id, fmt::join(overrides, " ")));
  }
  if (missing.empty()) return;
  constexpr std::size_t kShown = 5;
  const std::size_t count = missing.size();
  if (count > kShown) missing.resize(kShown);
  results.notes.push_back(fmt::format("{} of the {} runs of {} {} no record: {}{}", count, list->size(),
                                      sweep.filename().string(), count == 1 ? "has" : "have", fmt::join(missing, ", "),
                                      count > kShown ? ", …" : ""));
}

/// Directories at or below the given one, and around a single run, that may hold a runs.json.
void collect_sweeps(const fs::path& directory, const std::vector<fs::path>& records, std::set<fs::path>& sweeps) {
  if (fs::is_directory(directory)) sweeps.insert(fs::canonical(directory));
  for (const fs::path& file : records) {
    const fs::path run = fs::canonical(file).parent_path();
    if (run != fs::canonical(directory) && run.has_parent_path()) sweeps.insert(run.parent_path());
  }
}

std::optional<double> as_number(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}
}  // namespace

const std::string& Result::value(const std::string& key) const {
  static const std::string absent;
  if (key == "run_id") return run_id;
  if (const auto found = config.find(key); found != config.end()) return found->second;
  const auto named = config.find(key + ".name");
  return named == config.end() ? absent : named->second;
}

bool natural_less(const std::string& a, const std::string& b) {
  const auto x = as_number(a), y = as_number(b);
  if (x && y && *x != *y) return *x < *y;
  if (x.has_value() != y.has_value()) return x.has_value();
  return a < b;
}

Results load_results(const std::vector<fs::path>& directories) {
  std::set<fs::path> files, sweeps;
  for (const fs::path& directory : directories) {
    const auto found = record::find_records(directory);
    for (const fs::path& file : found) files.insert(fs::canonical(file));
    collect_sweeps(directory, found, sweeps);
  }
  Results results;
  for (const fs::path& file : files) {
    try {
      results.runs.push_back(load_result(file));
    } catch (const Error& error) {
      results.notes.push_back(fmt::format("a record cannot be read: {}", error.message()));
    }
  }
  for (const fs::path& sweep : sweeps) note_missing(sweep, results);
  if (results.runs.empty()) {
    std::vector<std::string> names;
    for (const fs::path& directory : directories) names.push_back(directory.string());
    throw RecordError(fmt::format("{}: no readable run.h5 below; start runs with 'mneme run'{}{}",
                                  fmt::join(names, ", "), results.notes.empty() ? "" : "\n  ",
                                  fmt::join(results.notes, "\n  ")));
  }
  sort_runs(results.runs);
  drop_repeated(results);
  return results;
}

}  // namespace mneme::report
