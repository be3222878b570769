#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace mneme::launch {

/// Tells whether the kernel has killed processes for want of memory: the kernel tells a parent only "SIGKILL".
class MemoryWatch {
 public:
  /// Watches the counters of this process's memory cgroup, or the machine's where there is none.
  MemoryWatch();
  /// Watches these files: lines "oom_kill N" among others.
  explicit MemoryWatch(std::vector<std::filesystem::path> files) : files_(std::move(files)) {}

  /// Kills so far; compare two readings.
  std::int64_t kills() const;

 private:
  std::vector<std::filesystem::path> files_;
};

}  // namespace mneme::launch
