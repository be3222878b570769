#include "core/report/measure.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/metric/continual_metric.h"

namespace mneme::report {

namespace {
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

enum class Over { kSum, kMax, kLast };

/// A column of /cost/tasks and how the tasks of a run become one number.
struct Cost {
  const char* id;
  Unit unit;
  Over over;
  double (*value)(const CostEvent&);
};

constexpr std::array<Cost, 8> kCosts{{
    {"train_seconds", Unit::kSeconds, Over::kSum, [](const CostEvent& c) { return c.train_seconds; }},
    {"eval_seconds", Unit::kSeconds, Over::kSum, [](const CostEvent& c) { return c.eval_seconds; }},
    {"strategy_seconds", Unit::kSeconds, Over::kSum, [](const CostEvent& c) { return c.strategy_seconds; }},
    {"tokens", Unit::kCount, Over::kSum, [](const CostEvent& c) { return static_cast<double>(c.tokens); }},
    {"flops", Unit::kCount, Over::kSum, [](const CostEvent& c) { return c.flops; }},
    {"peak_bytes", Unit::kBytes, Over::kMax, [](const CostEvent& c) { return static_cast<double>(c.peak_bytes); }},
    {"trainable_parameters", Unit::kCount, Over::kMax,
     [](const CostEvent& c) { return static_cast<double>(c.trainable_parameters); }},
    {"state_bytes", Unit::kBytes, Over::kLast, [](const CostEvent& c) { return static_cast<double>(c.state_bytes); }},
}};

double total_cost(const Cost& cost, const std::vector<CostEvent>& tasks) {
  if (tasks.empty()) return kNaN;
  double total = cost.over == Over::kMax ? cost.value(tasks.front()) : 0;
  for (const CostEvent& task : tasks) {
    const double value = cost.value(task);
    total = cost.over == Over::kSum ? total + value : cost.over == Over::kMax ? std::max(total, value) : value;
  }
  return total;
}

/// R, or the matrix of a further metric; null if the run has none.
const Matrix* matrix_of(const Result& run, const std::string& metric) {
  if (metric.empty()) return &run.scores;
  const auto found = run.metrics.find(metric);
  return found == run.metrics.end() ? nullptr : &found->second;
}

Measure cost_measure(const Cost& cost) {
  const std::string how = cost.over == Over::kSum   ? "sum over the tasks"
                          : cost.over == Over::kMax ? "largest of the tasks"
                                                    : "after the last task";
  return {cost.id, cost.unit,
          false,   false,
          how,     [cost](const Result& run, const std::vector<double>&) { return total_cost(cost, run.costs); }};
}

Measure task_measure(const std::string& id, const std::string& task, const std::string& metric) {
  return {id,
          Unit::kScore,
          true,
          false,
          "R[T][j] of the task",
          [task, metric](const Result& run, const std::vector<double>&) {
            const Matrix* matrix = matrix_of(run, metric);
            const auto found = std::find(run.tasks.begin(), run.tasks.end(), task);
            if (matrix == nullptr || found == run.tasks.end()) return kNaN;
            return matrix->back()[static_cast<std::size_t>(found - run.tasks.begin())];
          }};
}

Measure continual_measure(const std::string& id, const metric::ContinualMetric& continual, const std::string& metric) {
  return {id,
          Unit::kScore,
          continual.higher_is_better,
          continual.needs_single,
          continual.formula,
          [&continual, metric](const Result& run, const std::vector<double>& single) {
            const Matrix* matrix = matrix_of(run, metric);
            if (matrix == nullptr || run.tasks.empty()) return kNaN;
            return continual.value({*matrix, single});
          }};
}

/// Names of all tasks, in the order of the first run that has them.
std::vector<std::string> all_tasks(const std::vector<Result>& runs) {
  std::vector<std::string> names;
  for (const Result& run : runs)
    for (const std::string& task : run.tasks)
      if (std::find(names.begin(), names.end(), task) == names.end()) names.push_back(task);
  return names;
}

std::vector<std::string> known_ids(const std::vector<Result>& runs) {
  std::vector<std::string> known;
  for (const auto& metric : metric::continual_metrics()) known.push_back(metric.id);
  for (const std::string& task : all_tasks(runs)) known.push_back("task." + task);
  known.emplace_back("tasks");
  for (const Cost& cost : kCosts) known.emplace_back(cost.id);
  return known;
}

void check_metric(const std::string& id, const std::string& metric, const std::vector<Result>& runs) {
  std::vector<std::string> known;
  for (const Result& run : runs) {
    if (metric.empty() || run.metrics.contains(metric)) return;
    for (const auto& [name, matrix] : run.metrics)
      if (std::find(known.begin(), known.end(), name) == known.end()) known.push_back(name);
  }
  throw UsageError(fmt::format("metric '{}': no run was scored by '{}'{}", id, metric, hint(metric, known)));
}

Measure resolve_one(const std::string& id, const std::vector<Result>& runs) {
  for (const Cost& cost : kCosts)
    if (id == cost.id) return cost_measure(cost);
  const auto at = id.rfind('@');
  const std::string base = id.substr(0, at), metric = at == id.npos ? "" : id.substr(at + 1);
  for (const auto& continual : metric::continual_metrics())
    if (continual.id == base) {
      check_metric(id, metric, runs);
      return continual_measure(id, continual, metric);
    }
  for (const std::string& task : all_tasks(runs))
    if (base == "task." + task) {
      check_metric(id, metric, runs);
      return task_measure(id, task, metric);
    }
  throw UsageError(fmt::format("unknown metric '{}'{}", id, hint(base, known_ids(runs))));
}
}  // namespace

std::vector<Measure> resolve_measures(const std::vector<std::string>& ids, const std::vector<Result>& runs) {
  std::vector<Measure> measures;
  for (const std::string& id : ids) {
    if (id.rfind("tasks", 0) == 0 && (id.size() == 5 || id[5] == '@')) {
      const std::string metric = id.substr(5);
      for (const std::string& task : all_tasks(runs)) measures.push_back(resolve_one("task." + task + metric, runs));
      measures.push_back(resolve_one("aa.last" + metric, runs));
    } else {
      measures.push_back(resolve_one(id, runs));
    }
  }
  return measures;
}

}  // namespace mneme::report
