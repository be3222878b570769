#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/launch/process.h"

namespace mneme::launch {

enum class RunState {
  kPending,      ///< never started
  kQueued,       ///< waits in a Slurm queue
  kRunning,      ///< its process lives
  kDone,         ///< finished, the record is complete
  kFailed,       ///< ended by itself without finishing
  kDiverged,     ///< finished with a loss that is not finite: a result, not a failure of the program
  kInterrupted,  ///< stopped from outside: by the user, by the launcher's death, by Slurm
};

std::string_view to_string(RunState state);
/// The state of that name, nothing if there is none.
std::optional<RunState> parse_state(std::string_view name);
/// Whether the run needs no further attempt: done or diverged.
bool is_final(RunState state);

/// `<id>/process.json`: the latest attempt at a run, written before its process does anything.
struct Attempt {
  int number = 1;
  ProcessIdentity process;
  std::string started;         ///< ISO 8601, UTC
  std::int64_t log_start = 0;  ///< where this attempt's lines in run.log begin
  std::string job;             ///< Slurm array task, "1234_7", or ""
  int requeues = 0;            ///< how often Slurm has taken it up again since a person last asked for it
};

/// `<id>/exit.json`: how the latest attempt ended, written by whoever waited for its process.
struct Ending {
  RunState state = RunState::kFailed;
  std::string reason;  ///< "" when done
  int exit_code = 0;
  int signal = 0;
  double seconds = 0;  ///< wall time of the attempt
  std::int64_t peak_bytes = 0;
  std::string finished;  ///< ISO 8601, UTC
};

/// `<id>/progress.json` as mneme-run rewrites it a few times a second.
struct Progress {
  std::string phase;
  std::int64_t task = 0, tasks = 0;  ///< index from 1
  std::int64_t step = 0, steps = 0;  ///< of this phase of this task
  double done = 0, total = 0;        ///< work of the whole run, in any unit
  double eta_seconds = -1;           ///< of the whole run; negative if unknown
  std::string note;
};

/// What is known of a run from the files in its directory.
struct RunReport {
  RunState state = RunState::kPending;
  std::string reason;
  std::optional<Attempt> attempt;
  std::optional<Ending> ending;
  std::optional<Progress> progress;  ///< of the attempt that is running, or where the last one stopped
};

void write_attempt(const std::filesystem::path& run_directory, const Attempt& attempt);
void write_ending(const std::filesystem::path& run_directory, const Ending& ending);
std::optional<Attempt> read_attempt(const std::filesystem::path& run_directory);
std::optional<Ending> read_ending(const std::filesystem::path& run_directory);
std::optional<Progress> read_progress(const std::filesystem::path& run_directory);

/// The end that run.h5 tells of; nothing if it is absent, unreadable or of a run that is going on.
std::optional<Ending> recorded_ending(const std::filesystem::path& run_directory);

/// A process may be killed, or crash, in the moment after its run is done and before its own end: a record that says
/// done or diverged is right then, however the process ended.
void prefer_finished_record(Ending& ending, const std::filesystem::path& run_directory);

/// Derives the state: how the latest attempt ended if somebody saw it end; else whether its process lives; else what
/// the record says; else it was interrupted. Files that are absent or cut off count as not written.
RunReport inspect_run(const std::filesystem::path& run_directory);

/// The last lines of the latest attempt in run.log, at most `lines`, without blank ones.
std::vector<std::string> last_log_lines(const std::filesystem::path& run_directory, std::size_t lines);

/// Now as ISO 8601 in UTC: "2026-11-22T14:05:09Z".
std::string utc_now();
/// Seconds since the epoch of such a text; negative if it is none.
double seconds_since_epoch(const std::string& iso);

}  // namespace mneme::launch
