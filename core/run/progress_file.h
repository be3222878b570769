#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>

namespace mneme::run {

/// An amount of work in its two kinds, each of which takes time of its own.
struct Work {
  double samples = 0;  ///< trained, each as often as it is seen
  double prompts = 0;  ///< answered
};

/// Where a run stands.
struct ProgressMoment {
  std::string phase{};               ///< train or evaluate
  std::int64_t task = 0;             ///< index from 1, 0 before any
  Work done{};                       ///< of the whole run
  std::int64_t step = 0, steps = 0;  ///< of this phase of this task
  std::string note{};
};

/// `progress.json` of a run: what it is doing, for the launcher's view and `mneme status`. Replaced atomically, at most
/// four times a second. What is left is estimated from what this process has measured of each kind of work, so that
/// neither loading nor an earlier attempt counts.
class ProgressFile {
 public:
  /// \param file "" for none. \param total work of the whole run. \param done before this process began.
  ProgressFile(std::filesystem::path file, std::int64_t tasks, Work total, Work done);

  void update(const ProgressMoment& moment);
  /// The run is done.
  void finish();

 private:
  using Clock = std::chrono::steady_clock;
  double eta_seconds() const;
  void write(const std::string& phase, std::int64_t task, std::int64_t step, std::int64_t steps,
             const std::string& note);

  std::filesystem::path file_;
  std::int64_t tasks_;
  Work total_, done_;
  Work measured_;                                // units of work done by this process
  double train_seconds_ = 0, eval_seconds_ = 0;  // that they took
  std::string last_phase_;
  std::int64_t last_task_ = -1;
  Clock::time_point last_update_ = Clock::now(), last_write_{};
};

}  // namespace mneme::run
