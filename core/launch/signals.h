#pragma once

#include <csignal>
#include <vector>

namespace mneme::launch {

/// Turns signals into something to wait for, SIGCHLD among them; ignores SIGPIPE. Restores everything on scope exit.
/// Children that Child starts do not inherit it.
class Signals {
 public:
  /// Those that ask a launcher to stop: SIGINT, SIGTERM and, unless the process runs under nohup, SIGHUP.
  static std::vector<int> stopping();

  explicit Signals(const std::vector<int>& numbers);
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  /// Waits until a signal comes, at most this long; returns what came, without SIGCHLD.
  std::vector<int> wait(int milliseconds) const;

 private:
  sigset_t before_{};
  struct sigaction pipe_before_ {};
  int fd_ = -1;
};

}  // namespace mneme::launch
