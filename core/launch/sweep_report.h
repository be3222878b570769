#pragma once

#include <cstddef>
#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/launch/run_state.h"
#include "core/launch/slurm_queue.h"
#include "core/launch/sweep_directory.h"
#include "core/launch/view.h"

namespace mneme::launch {

/// One run with what its files say; entry.state is the true one.
struct RunLine {
  RunEntry entry;
  RunReport report;
  std::optional<SlurmTask> slurm;  ///< its latest task, if it was submitted
};

/// What a sweep is doing, as anybody can see it from its directory.
struct SweepReport {
  std::string directory;
  std::optional<ProcessIdentity> launcher;  ///< the live one
  std::vector<RunLine> runs;
  std::map<RunState, std::size_t> counts;
  std::string slurm_error;  ///< why Slurm could not be asked, "" if it could or need not be
  double eta_seconds = -1;  ///< negative if unknown or nothing goes on

  std::size_t count(RunState state) const;
  bool all_done() const { return count(RunState::kDone) == runs.size(); }
  /// "running", "queued", "done", "finished" (nothing left to do, but not all done) or "interrupted".
  std::string state() const;
};

SweepReport inspect_sweep(const SweepDirectory& sweep);

/// Brings runs.json up to what the runs' files say; returns the report. For whoever holds the lock.
SweepReport reconcile(SweepDirectory& sweep);

/// Runs that resume starts: all that are not final, failed ones included, unless Slurm has them; diverged ones only if
/// asked for.
std::vector<RunEntry> unfinished_runs(const SweepReport& report, bool with_diverged);

/// The report for machines, one JSON object; and for people, a table.
std::string status_json(const SweepReport& report);
void print_status(std::FILE* out, const SweepReport& report);

/// The end of a launch for people: counts, then each run that failed with its reason and last log lines, then how to go
/// on.
void print_summary(std::FILE* out, const SweepReport& report, double seconds);

}  // namespace mneme::launch
