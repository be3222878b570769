#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace mneme {

/// "1:05:09", "4:07" or "12 s"; "?" if negative or not finite.
std::string format_duration(double seconds);

/// A progress line with a bar, the rate's ETA and a note on standard error: redrawn in place on a terminal at most ten
/// times a second, otherwise a plain line at each tenth of the work, at most one in ten seconds.
class ProgressBar {
 public:
  /// \param total work units; 0 if unknown (then no ETA is shown).
  ProgressBar(std::string title, std::int64_t total);
  /// Leaves a finished line on a terminal.
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void update(std::int64_t done, const std::string& note = "");

  /// Seconds left at the rate so far; negative if unknown.
  double eta_seconds() const;

 private:
  using Clock = std::chrono::steady_clock;
  void draw(const std::string& note);

  std::string title_;
  std::int64_t total_;
  std::int64_t done_ = 0;
  bool terminal_;
  bool drawn_ = false;
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_draw_{};
  std::int64_t last_tenth_ = 0;
};

}  // namespace mneme
