#include "core/launch/signals.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/base/error.h"

namespace mneme::launch {

std::vector<int> Signals::stopping() {
  struct sigaction hangup {};
  ::sigaction(SIGHUP, nullptr, &hangup);
  if (hangup.sa_handler == SIG_IGN) return {SIGINT, SIGTERM};
  return {SIGINT, SIGTERM, SIGHUP};
}

Signals::Signals(const std::vector<int>& numbers) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  for (const int number : numbers) sigaddset(&set, number);
  fd_ = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd_ < 0) throw Error(fmt::format("signals cannot be received: {}", std::strerror(errno)));
  ::pthread_sigmask(SIG_BLOCK, &set, &before_);
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &ignore, &pipe_before_);
}

Signals::~Signals() {
  ::close(fd_);
  ::sigaction(SIGPIPE, &pipe_before_, nullptr);
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

std::vector<int> Signals::wait(int milliseconds) const {
  pollfd entry{fd_, POLLIN, 0};
  ::poll(&entry, 1, milliseconds);
  std::vector<int> came;
  for (signalfd_siginfo info{}; ::read(fd_, &info, sizeof info) == static_cast<ssize_t>(sizeof info);) {
    if (info.ssi_signo != static_cast<std::uint32_t>(SIGCHLD)) came.push_back(static_cast<int>(info.ssi_signo));
  }
  return came;
}

}  // namespace mneme::launch
