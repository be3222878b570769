#pragma once

#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "core/launch/run_state.h"
#include "core/launch/sweep_directory.h"

namespace mneme::launch {

/// One run that is going on, as the live view shows it.
struct ActiveRun {
  std::string id;
  std::string label;
  double seconds = 0;  ///< since it was started
  Progress progress;
};

/// The whole sweep at one moment.
struct SweepMoment {
  std::size_t total = 0, done = 0, failed = 0, diverged = 0, waiting = 0;
  std::size_t slots = 1;
  double seconds = 0;        ///< since the launcher was started
  double mean_seconds = -1;  ///< of the runs finished in this session; negative before the first
  std::vector<ActiveRun> active;
};

/// Seconds until the sweep ends: what the active runs need, then the waiting ones over the slots; negative if unknown.
double sweep_eta(const SweepMoment& moment);

/// Share of a run's work that is done, 0 to 1.
double progress_fraction(const Progress& progress);

/// "task 2/8 train     34 %  0:40, ETA 1:17".
/// \param seconds since the run was started
std::string stage_text(const Progress& progress, double seconds);

/// "step 12/54, loss 0.412".
std::string step_text(const Progress& progress);

/// Shows a sweep while it goes on: on a terminal one line per active run and a total, redrawn in place; elsewhere a
/// plain line when a run starts or ends, and one a minute in between.
class SweepView {
 public:
  /// \param out where to write; \param terminal whether lines may be redrawn.
  SweepView(std::FILE* out, bool terminal) : out_(out), terminal_(terminal) {}
  /// Standard error.
  SweepView();
  ~SweepView();
  SweepView(const SweepView&) = delete;
  SweepView& operator=(const SweepView&) = delete;

  /// A line of its own that stays.
  void say(const std::string& line);
  void started(const RunEntry& run, const SweepMoment& moment);
  void ended(const RunEntry& run, const SweepMoment& moment);
  /// Redraws if it is time to.
  void tick(const SweepMoment& moment);

 private:
  using Clock = std::chrono::steady_clock;
  /// The control sequence that takes back what was drawn, "" if nothing was.
  std::string erasure();
  void write(const std::string& text);
  void draw(const SweepMoment& moment);

  std::FILE* out_;
  bool terminal_;
  int drawn_lines_ = 0;
  Clock::time_point last_{};
};

/// "3 of 24 done, 1 failed".
std::string count_text(const SweepMoment& moment);

/// One line that fits the width (in columns; UTF-8 counted by code point), with an ellipsis where it is cut.
std::string fit(const std::string& line, std::size_t width);

}  // namespace mneme::launch
