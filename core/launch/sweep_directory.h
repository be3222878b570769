#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/launch/lock.h"
#include "core/launch/run_state.h"

namespace mneme::launch {

/// One run as it goes to disk.
struct RunFiles {
  std::string id;                            ///< 12 hex digits, the directory's name
  std::vector<std::string> overrides;        ///< "strategy=ewc", in order
  std::map<std::string, std::string> files;  ///< path below the run's directory to content: ".hydra/config.yaml", …
  /// The same for files whose content names the run's directory, which is given to them as an absolute path.
  std::map<std::string, std::function<std::string(const std::filesystem::path&)>> placed_files;
};

/// A sweep as it is composed.
struct SweepFiles {
  std::string sweep_yaml;     ///< as composed
  std::string settings_json;  ///< what `resume` needs to go on as `run` began: `.mneme/settings.json`
  std::vector<RunFiles> runs;
};

/// One entry of runs.json.
struct RunEntry {
  std::string id;
  std::size_t index = 0;  ///< position in runs.json
  std::vector<std::string> overrides;
  std::vector<std::string> distinct;    ///< those overrides that not every run of the sweep has
  RunState state = RunState::kPending;  ///< as runs.json says it; the files of the run know better
  int attempts = 0;
  double seconds = 0;  ///< of the latest attempt
  std::string reason;

  /// The distinct overrides in one line; all where there is none; "(no overrides)" without any.
  std::string label() const;
};

/// The directory of a sweep: the contract of what lies where. Everything here is safe against being killed at any
/// moment: files are replaced whole, and a directory becomes visible only when it is complete.
class SweepDirectory {
 public:
  /// Creates DIR (which must be absent or empty) with everything in it, locked. Throws Error if it is not, or cannot be
  /// written; then nothing is left behind.
  static SweepDirectory create(const std::filesystem::path& directory, const SweepFiles& sweep);

  /// Creates `<parent>/<date>_<time>`, with a suffix -1, -2, … while that name is taken.
  static SweepDirectory create_dated(const std::filesystem::path& parent, const SweepFiles& sweep);

  /// An existing sweep, to look at. Throws Error if DIR holds no sweep, naming sweeps below it if there are any.
  static SweepDirectory open(const std::filesystem::path& directory);

  /// An existing sweep, to work on. Throws Error if a live launcher works on it.
  static SweepDirectory open_locked(const std::filesystem::path& directory);

  /// Adds the runs that are not there yet (by id); returns how many. Keeps the former sweep.yaml beside.
  std::size_t extend(const SweepFiles& sweep);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path run_path(const RunEntry& run) const { return path_ / run.id; }
  std::filesystem::path lock_path() const { return path_ / ".mneme" / "lock"; }
  const std::vector<RunEntry>& runs() const { return runs_; }
  std::string settings_json() const;
  void set_settings(const std::string& json) const;

  /// Sets an entry's fields and rewrites runs.json. Other processes may do so for other runs at the same time.
  void update(const RunEntry& run);
  /// The same for many entries with one rewrite.
  void update(const std::vector<RunEntry>& runs);

 private:
  explicit SweepDirectory(std::filesystem::path path) : path_(std::move(path)) {}
  void read_runs();
  void fill_in_place(const std::filesystem::path& target, const SweepFiles& sweep);

  std::filesystem::path path_;
  std::vector<RunEntry> runs_;
  std::optional<SweepLock> lock_;
};

}  // namespace mneme::launch
