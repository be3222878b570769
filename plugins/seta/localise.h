#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/plugin.h"
#include "units.h"

namespace seta {

struct LocaliseOptions {
  bool elements = false;        ///< single elements of the weights instead of rank-one components
  double density = 0;           ///< elements: part of each weight that a task takes; 0: as many as the LoRA would have
  bool weighted = true;         ///< elements: sensitivity |w · dw|, else dw²
  std::int64_t batches = 64;    ///< training batches that the sensitivity is measured on
  bool random = false;          ///< units by chance instead of by sensitivity: the control
  bool share = true;            ///< whether units of earlier tasks may be taken
  double least_overlap = 0.01;  ///< below this part of the task's units of a linear, an expert's overlap is not shared
  std::int64_t most_experts = 32;  ///< shared experts at most; what would make more is not shared
};

/// Chooses the units of a new task by the sensitivity of its loss at the pretrained weights, makes its adapter, and
/// enters both into the table: units of earlier tasks with their values, new ones with values that change nothing.
/// Every earlier task computes what it computed before.
mneme::AdapterId localise(mneme::Learner& learner, const mneme::TaskView& task, const LocaliseOptions& options,
                          UnitTable& table);

/// What localising takes, and the units of all tasks once they are made.
mneme::MemoryNeed units_memory(const mneme::MemoryCase& run, const LocaliseOptions& options);

}  // namespace seta
