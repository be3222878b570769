#include "core/data/stream.h"

#include <algorithm>
#include <map>
#include <set>

#include "core/base/error.h"
#include "core/base/random.h"
#include "core/base/suggest.h"
#include "core/data/file_source.h"
#include "core/metric/text_metric.h"

namespace mneme::data {
namespace fs = std::filesystem;

namespace {
void check_spec(const TaskSpec& spec) {
  if (spec.metric.empty())
    throw DataError(
        fmt::format("task '{}' has no metric; expected the id of one ('mneme metrics list' shows them)", spec.name));
  std::set<std::string> seen;
  const auto check_metric = [&](const std::string& id) {
    metric::text_metric(id);
    if (!seen.insert(id).second) throw DataError(fmt::format("task '{}' names metric '{}' twice", spec.name, id));
  };
  with_context(fmt::format("checking task '{}'", spec.name), [&] {
    check_metric(spec.metric);
    for (const std::string& id : spec.more_metrics) check_metric(id);
  });
  if (spec.max_new_tokens < 1)
    throw DataError(
        fmt::format("task '{}': max_new_tokens is {}; expected at least 1", spec.name, spec.max_new_tokens));
  if (spec.epochs && *spec.epochs < 1)
    throw DataError(fmt::format("task '{}': epochs is {}; expected at least 1", spec.name, *spec.epochs));
}

/// The specs in training order.
std::vector<TaskSpec> ordered_specs(const StreamOptions& options) {
  std::map<std::string, const TaskSpec*> by_name;
  std::vector<std::string> names;
  for (const TaskSpec& spec : options.tasks) {
    if (!by_name.emplace(spec.name, &spec).second)
      throw DataError(fmt::format("stream '{}' defines task '{}' twice", options.name, spec.name));
    names.push_back(spec.name);
    check_spec(spec);
  }
  const std::vector<std::string>& order = options.order.empty() ? names : options.order;
  if (order.empty()) throw DataError(fmt::format("stream '{}' has no tasks", options.name));
  std::vector<TaskSpec> specs;
  std::set<std::string> used;
  for (const std::string& name : order) {
    const auto entry = by_name.find(name);
    if (entry == by_name.end())
      throw DataError(
          fmt::format("stream '{}': the order names an unknown task '{}'{}", options.name, name, hint(name, names)));
    if (!used.insert(name).second)
      throw DataError(fmt::format("stream '{}': the order names task '{}' twice", options.name, name));
    specs.push_back(*entry->second);
  }
  return specs;
}
}  // namespace

fs::path task_directory(const StreamOptions& options, const TaskSpec& spec) {
  return options.root / options.directory / (spec.directory.empty() ? spec.name : spec.directory);
}

std::vector<fs::path> missing_files(const StreamOptions& options) {
  std::vector<fs::path> missing;
  for (const TaskSpec& spec : ordered_specs(options)) {
    for (const Split split : kSplits) {
      const fs::path file = task_directory(options, spec) / fmt::format("{}.json", to_string(split));
      if (!fs::is_regular_file(file)) missing.push_back(file);
    }
  }
  return missing;
}

std::string where_to_get(const StreamOptions& options) {
  return fmt::format(
      "set data.root to the directory that holds {}/ (now '{}'); benchmarks/{}/README.md says where to get the data",
      options.directory, options.root.string(), options.directory);
}

Stream load_stream(const StreamOptions& options) {
  const std::vector<fs::path> missing = missing_files(options);
  if (!missing.empty()) {
    std::string files;
    for (const fs::path& file : missing) files += "\n  " + file.string();
    throw DataError(fmt::format("stream '{}': {} data files are missing; {}:{}", options.name, missing.size(),
                                where_to_get(options), files));
  }
  Stream stream{options.name, {}};
  for (TaskSpec& spec : ordered_specs(options)) {
    const FileSourceOptions files{
        task_directory(options, spec), {options.max_train, options.max_eval, options.max_test}, options.seed};
    auto source = std::make_shared<FileSource>(spec, files);
    stream.tasks.emplace_back(std::move(spec), std::move(source));
  }
  return stream;
}

std::vector<Example> take_subset(std::vector<Example> rows, std::int64_t limit, std::uint64_t seed,
                                 const std::string& purpose) {
  if (limit < 0) throw DataError(fmt::format("{}: the limit of rows is {}; expected 0 (all) or more", purpose, limit));
  if (limit == 0 || limit >= static_cast<std::int64_t>(rows.size())) return rows;
  // Units are rows, or groups of rows in order of their first row.
  std::vector<std::vector<std::size_t>> units;
  std::map<std::string, std::size_t> unit_of_group;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::string& group = rows[i].group;
    if (!group.empty()) {
      const auto [entry, added] = unit_of_group.emplace(group, units.size());
      if (!added) {
        units[entry->second].push_back(i);
        continue;
      }
    }
    units.push_back({i});
  }
  RandomStream random(seed, "subset/" + purpose);
  std::vector<std::size_t> taken;
  for (const std::int64_t u : random.permutation(static_cast<std::int64_t>(units.size()))) {
    const auto& unit = units[static_cast<std::size_t>(u)];
    if (taken.size() + unit.size() > static_cast<std::size_t>(limit)) break;
    taken.insert(taken.end(), unit.begin(), unit.end());
  }
  if (taken.empty())
    throw DataError(
        fmt::format("{}: a limit of {} rows is smaller than the first group drawn; raise it", purpose, limit));
  std::sort(taken.begin(), taken.end());
  std::vector<Example> subset;
  for (const std::size_t i : taken) subset.push_back(std::move(rows[i]));
  return subset;
}

}  // namespace mneme::data
