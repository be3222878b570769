#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/compose.h"

namespace mneme::config {

/// One run of a plan.
struct PlannedRun {
  std::string id;                      ///< 12 hex digits: run_id() of `resolved`
  std::int64_t index = 0;              ///< place in the plan, from 0
  std::vector<std::string> overrides;  ///< what makes this run of the primary file, to be given to compose() again
  Node config;                         ///< composed, interpolations left as text, without the sweep block
  Node resolved;                       ///< nothing left to interpolate
  Node hydra;                          ///< Hydra's own settings for this run, job.num included
};

/// All runs that a primary file and overrides ask for.
struct Plan {
  std::string name;  ///< of the sweep, else of the file
  Node sweep;        ///< the sweep block as composed; null if there is none
  bool is_sweep = false;
  std::vector<PlannedRun> runs;
  std::vector<std::string> warnings;
};

/// Expands a `sweep:` block, hydra.sweeper.params and sweeps among the overrides (LANGUAGE.md) and composes every run
/// before it returns. Throws ConfigError for anything wrong in any run.
Plan plan(const Request& request);

/// 12 hex digits of the SHA-256 of a resolved configuration: the same for the same keys and values in any order. The
/// keys `sweep` and `launcher` do not count: they say how runs are started, not what they compute. \param repeat number
/// of an identical run before this one
std::string run_id(const Node& resolved, int repeat = 0);

}  // namespace mneme::config
