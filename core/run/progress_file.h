#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>

namespace mneme::run {

/// `progress.json` of a run: what it is doing, for the launcher's view and `mneme status`. Replaced atomically, at most
/// four times a second.
class ProgressFile {
 public:
  /// \param file "" for none. \param total work units of the whole run.
  ProgressFile(std::filesystem::path file, std::int64_t tasks, double total);

  /// \param done work units of the whole run so far.
  void update(const std::string& phase, std::int64_t task, double done, const std::string& note);

 private:
  using Clock = std::chrono::steady_clock;
  std::filesystem::path file_;
  std::int64_t tasks_;
  double total_;
  double first_ = -1;  // units done when this process started: a resumed run's rate counts from there
  std::string last_phase_;
  std::int64_t last_task_ = -1;
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_{};
};

}  // namespace mneme::run
