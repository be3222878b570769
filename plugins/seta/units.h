#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "core/plugin.h"

namespace seta {

/// The units of one task's adapter. A unit is what is shared or kept as a whole: a rank-one component of a low-rank
/// update (a row of A with its column of B), or a single element of a weight.
struct TaskUnits {
  mneme::AdapterId adapter = 0;
  /// Per linear, in the order of the adapter's views: int64 [units], distinct; of an element its position in the
  /// weight, of a component a number of its own.
  std::vector<at::Tensor> ids;
  /// Per linear: float [units, width], accumulated Fisher of each parameter; empty while the task is being learnt.
  std::vector<at::Tensor> importance;
};

/// A flat vector [n] of an adapter's parameters cut into units, [units, width] for each linear, and the way back.
std::vector<at::Tensor> to_units(const mneme::AdapterBank& bank, mneme::AdapterId adapter, const at::Tensor& flat);
at::Tensor from_units(const mneme::AdapterBank& bank, mneme::AdapterId adapter, const std::vector<at::Tensor>& units);

/// The linears that an adapter touches, in the order of its views.
std::vector<std::int64_t> linears_of(const mneme::AdapterBank& bank, mneme::AdapterId adapter);

/// Pairs of rows at which two lists of distinct ids agree: int64 [m] each, the first ascending.
struct Matches {
  at::Tensor first, second;
};
Matches match(const at::Tensor& first, const at::Tensor& second);

/// The different units of one linear, and which tasks hold them.
struct Pool {
  at::Tensor ids;      ///< int64 [U], ascending
  at::Tensor members;  ///< bool [U, tasks], columns in the order of UnitTable::tasks
};

/// Units of different tasks with the same id in the same linear are one unit: the tasks' adapters hold equal copies of
/// it. An expert is a set of tasks with all units that exactly these tasks hold; one task: unique, more: shared. So a
/// new task that takes some of an expert's units splits it without any value being touched.
class UnitTable {
 public:
  std::map<std::int64_t, TaskUnits> tasks;

  std::vector<Pool> pools() const;  ///< of each linear; empty while there is no task
  /// What the table knows of some units of each linear: values or importances [ids, width], zero for ids that no task
  /// holds; undefined while there is nothing at all.
  enum class Of { kValues, kImportance };
  std::vector<at::Tensor> rows(const mneme::AdapterBank& bank, const std::vector<at::Tensor>& ids, Of of) const;

  /// Copies values and importances of a task's units to the other tasks that hold them.
  void spread(mneme::AdapterBank& bank, std::int64_t task);

  /// For each unit of a task, all linears end to end: its expert's number, and how many tasks hold it.
  struct Owners {
    at::Tensor expert, tasks;  ///< int64 [units of the task]
  };
  Owners owners(std::int64_t task) const;

  /// All experts: bool [E, tasks] membership and double [E] numbers of parameters.
  struct Experts {
    at::Tensor members, parameters;
  };
  Experts experts(const mneme::AdapterBank& bank) const;

  void visit_state(mneme::StateVisitor& visitor);
};

}  // namespace seta
