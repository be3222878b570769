#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "core/launch/process.h"

namespace mneme::launch {

/// Marks a sweep's directory as driven by a live launcher: a file that names the process, under a kernel lock that ends
/// with the process however it ends.
class SweepLock {
 public:
  /// Takes the lock. Throws Error naming the holder if a live launcher has it.
  /// \param file created if absent; its directory must exist.
  explicit SweepLock(const std::filesystem::path& file);
  ~SweepLock();
  SweepLock(SweepLock&& other) noexcept;
  SweepLock& operator=(SweepLock&& other) = delete;

 private:
  int fd_ = -1;
};

/// The live launcher that holds the lock, or nothing.
std::optional<ProcessIdentity> lock_holder(const std::filesystem::path& file);

}  // namespace mneme::launch
