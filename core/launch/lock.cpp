#include "core/launch/lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "core/base/error.h"

namespace mneme::launch {
namespace fs = std::filesystem;

namespace {

ProcessIdentity read_identity(int fd) {
  std::array<char, 1024> buffer{};
  const ssize_t n = ::pread(fd, buffer.data(), buffer.size(), 0);
  if (n <= 0) return {};
  const auto json = nlohmann::json::parse(buffer.data(), buffer.data() + n, nullptr, false);
  if (!json.is_object()) return {};
  return {json.value("pid", 0), json.value("start_ticks", std::uint64_t{0}), json.value("place", std::string{}),
          json.value("host", std::string{})};
}

void write_identity(int fd, const ProcessIdentity& process) {
  const std::string text =
      nlohmann::json{
          {"pid", process.pid}, {"start_ticks", process.start_ticks}, {"place", process.place}, {"host", process.host}}
          .dump() +
      "\n";
  if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    throw Error(fmt::format("the sweep's lock file cannot be written: {}", std::strerror(errno)));
  }
}

/// Tries to take the lock; true if somebody else holds it. Where the file system knows no locks, whether the named
/// process may still live.
bool is_held(int fd, int mode, const ProcessIdentity& holder) {
  if (::flock(fd, mode | LOCK_NB) == 0) return false;
  return errno == EWOULDBLOCK || liveness(holder) != Liveness::kDead;
}

[[noreturn]] void throw_held(const fs::path& file, const ProcessIdentity& holder) {
  const fs::path sweep = file.parent_path().parent_path();
  throw Error(
      fmt::format("{}: another mneme process ({} on {}) is working on this sweep; wait for it, or stop it with "
                  "'kill -INT {}'; 'mneme status {}' shows what it does",
                  sweep.string(), holder.pid, holder.host, holder.pid, sweep.string()));
}

}  // namespace

SweepLock::SweepLock(const fs::path& file) : fd_(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
  if (fd_ < 0) throw Error(fmt::format("{}: cannot be opened: {}", file.string(), std::strerror(errno)));
  // A look by `mneme status` holds the lock for a moment.
  for (int attempt = 0; is_held(fd_, LOCK_EX, read_identity(fd_)); ++attempt) {
    if (attempt == 10) {
      const ProcessIdentity holder = read_identity(fd_);
      ::close(std::exchange(fd_, -1));
      throw_held(file, holder);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
  }
  write_identity(fd_, this_process());
}

SweepLock::SweepLock(SweepLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

SweepLock::~SweepLock() {
  if (fd_ < 0) return;
  [[maybe_unused]] const int truncated = ::ftruncate(fd_, 0);
  ::close(fd_);
}

std::optional<ProcessIdentity> lock_holder(const fs::path& file) {
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  const ProcessIdentity holder = read_identity(fd);
  const bool held = holder.pid != 0 && (liveness(holder) == Liveness::kAlive || is_held(fd, LOCK_SH, holder));
  ::close(fd);
  if (!held) return std::nullopt;
  return holder;
}

}  // namespace mneme::launch
