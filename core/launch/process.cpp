#include "core/launch/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

#include "core/base/error.h"

extern char** environ;

namespace mneme::launch {
namespace fs = std::filesystem;

namespace {

std::string first_line(const fs::path& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

/// Boot id and pid namespace of this process.
std::string this_place() {
  std::error_code ignored;
  const fs::path space = fs::read_symlink("/proc/self/ns/pid", ignored);
  return first_line("/proc/sys/kernel/random/boot_id") + " " + space.string();
}

std::string this_host() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  ::gethostname(name.data(), name.size() - 1);
  return name.data();
}

/// argv or envp as exec wants it; the strings must outlive it.
std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> result;
  result.reserve(texts.size() + 1);
  for (const auto& text : texts) result.push_back(const_cast<char*>(text.c_str()));
  result.push_back(nullptr);
  return result;
}

std::vector<std::string> merged_environment(const std::map<std::string, std::string>& added) {
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (!added.contains(text.substr(0, text.find('=')))) result.push_back(text);
  }
  for (const auto& [key, value] : added) result.push_back(key + "=" + value);
  return result;
}

/// Everything the child needs between fork and exec, prepared beforehand: only async-signal-safe calls are allowed
/// there.
struct Prepared {
  std::vector<std::string> argument_texts, environment_texts;
  std::vector<char*> argv, envp;
  std::string directory, log, oom_score;
  cpu_set_t cpus;
  bool pinned = false;
  int parent = 0;
  int out = -1, err = -1;  ///< descriptors for standard output and error, -1: inherit
};

Prepared prepare(const ChildOptions& options) {
  MNEME_CHECK(!options.arguments.empty(), "a child needs a program");
  Prepared p;
  p.argument_texts = options.arguments;
  p.environment_texts = merged_environment(options.environment);
  p.argv = pointers(p.argument_texts);
  p.envp = pointers(p.environment_texts);
  p.directory = options.directory.string();
  p.log = options.log.string();
  if (options.oom_score != 0) p.oom_score = std::to_string(options.oom_score);
  CPU_ZERO(&p.cpus);
  for (const int cpu : options.cpus) {
    if (cpu >= 0 && cpu < CPU_SETSIZE) CPU_SET(cpu, &p.cpus), p.pinned = true;
  }
  p.parent = ::getpid();
  return p;
}

[[noreturn]] void report_and_exit(int report) {
  const int code = errno;
  [[maybe_unused]] const auto written = ::write(report, &code, sizeof code);
  ::_exit(127);
}

void reset_signals() {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGCHLD, SIGUSR1, SIGUSR2, SIGQUIT}) {
    ::sigaction(number, &action, nullptr);
  }
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

void redirect(const Prepared& p, int report) {
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (null >= 0) ::dup2(null, STDIN_FILENO);
  int out = p.out, err = p.err;
  if (!p.log.empty()) {
    out = err = ::open(p.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (out < 0) report_and_exit(report);
  }
  if (out >= 0) ::dup2(out, STDOUT_FILENO);
  if (err >= 0) ::dup2(err, STDERR_FILENO);
}

/// The child's side of fork: never returns.
[[noreturn]] void become(const Prepared& p, int report) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != p.parent) ::_exit(127);  // the parent died before the line above took effect
  if (!p.oom_score.empty()) {
    const int fd = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
      [[maybe_unused]] const auto written = ::write(fd, p.oom_score.data(), p.oom_score.size());
      ::close(fd);
    }
  }
  if (p.pinned) ::sched_setaffinity(0, sizeof p.cpus, &p.cpus);
  redirect(p, report);
  if (!p.directory.empty() && ::chdir(p.directory.c_str()) != 0) report_and_exit(report);
  reset_signals();
  ::execve(p.argv[0], p.argv.data(), p.envp.data());
  report_and_exit(report);
}

/// Forks and execs; returns the pid. Throws Error with the reason that the child reported.
int start(const Prepared& p) {
  std::array<int, 2> report{};
  if (::pipe2(report.data(), O_CLOEXEC) != 0) {
    throw Error(fmt::format("{}: cannot be started: {}", p.argv[0], std::strerror(errno)));
  }
  const int pid = ::fork();
  const int fork_error = errno;
  if (pid == 0) become(p, report[1]);
  ::close(report[1]);
  int code = 0;
  ssize_t n = 0;
  if (pid > 0) {
    ::setpgid(pid, pid);  // here as well, so that a signal sent at once reaches the group
    while ((n = ::read(report[0], &code, sizeof code)) < 0 && errno == EINTR) {
    }
  }
  ::close(report[0]);
  if (pid < 0) throw Error(fmt::format("{}: cannot be started: {}", p.argv[0], std::strerror(fork_error)));
  if (n == sizeof code) {
    ::waitpid(pid, nullptr, 0);
    throw Error(
        fmt::format("{}: cannot be started: {}{}", p.argv[0], std::strerror(code),
                    p.log.empty() ? "" : fmt::format(" (working directory '{}', log '{}')", p.directory, p.log)));
  }
  return pid;
}

std::optional<ProcessExit> reap(int pid, std::chrono::steady_clock::time_point start_time, int flags) {
  int status = 0;
  struct rusage usage {};
  pid_t got = 0;
  while ((got = ::wait4(pid, &status, flags, &usage)) < 0 && errno == EINTR) {
  }
  if (got == 0) return std::nullopt;
  ProcessExit result;
  if (got == pid) {
    result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    result.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    result.peak_bytes = static_cast<std::int64_t>(usage.ru_maxrss) * 1024;
  } else {
    result.code = 127;
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_time).count();
  return result;
}

/// Reads both pipes to their ends; reading one after the other could block the child.
void drain(int out, int err, Captured& captured) {
  std::array<pollfd, 2> polls{pollfd{out, POLLIN, 0}, pollfd{err, POLLIN, 0}};
  const std::array<std::string*, 2> texts{&captured.output, &captured.error};
  std::array<char, 65536> buffer{};
  while (polls[0].fd >= 0 || polls[1].fd >= 0) {
    if (::poll(polls.data(), polls.size(), -1) < 0 && errno != EINTR) break;
    for (std::size_t i = 0; i < 2; ++i) {
      if (polls[i].fd < 0 || polls[i].revents == 0) continue;
      const ssize_t n = ::read(polls[i].fd, buffer.data(), buffer.size());
      if (n > 0) texts[i]->append(buffer.data(), static_cast<std::size_t>(n));
      if (n == 0 || (n < 0 && errno != EINTR)) polls[i].fd = -1;
    }
  }
}

}  // namespace

ProcessIdentity identify(int pid) {
  std::ifstream in(fmt::format("/proc/{}/stat", pid));
  std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  const auto end_of_name = text.rfind(')');
  if (end_of_name == text.npos) return {};
  std::istringstream fields(text.substr(end_of_name + 1));
  std::string state, skipped;
  fields >> state;
  if (state == "Z" || state == "X") return {};
  for (int field = 4; field < 22; ++field) fields >> skipped;
  ProcessIdentity result;
  fields >> result.start_ticks;
  result.pid = pid;
  result.place = this_place();
  result.host = this_host();
  return result;
}

ProcessIdentity this_process() { return identify(::getpid()); }

Liveness liveness(const ProcessIdentity& process) {
  if (process.pid <= 0) return Liveness::kDead;
  if (process.place != this_place()) {
    // The same machine after a reboot has nothing of before; another machine cannot be asked.
    return process.host == this_host() && process.place.substr(0, 36) != this_place().substr(0, 36)
               ? Liveness::kDead
               : Liveness::kUnknown;
  }
  const ProcessIdentity now = identify(process.pid);
  return now.pid != 0 && now.start_ticks == process.start_ticks ? Liveness::kAlive : Liveness::kDead;
}

Child::Child(const ChildOptions& options) : pid_(start(prepare(options))) {}

Child::Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, 0)), start_(other.start_) {}

Child& Child::operator=(Child&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(start_, other.start_);
  return *this;
}

Child::~Child() {
  if (pid_ <= 0) return;
  ::kill(-pid_, SIGKILL);
  reap(pid_, start_, 0);
}

std::optional<ProcessExit> Child::poll() {
  if (pid_ <= 0) return std::nullopt;
  auto result = reap(pid_, start_, WNOHANG);
  if (result) pid_ = 0;
  return result;
}

void Child::signal(int number) const {
  if (pid_ > 0) ::kill(-pid_, number);
}

Captured run_and_capture(const ChildOptions& options) {
  Prepared p = prepare(options);
  std::array<int, 2> out{}, err{};
  if (::pipe2(out.data(), O_CLOEXEC) != 0 || ::pipe2(err.data(), O_CLOEXEC) != 0) {
    throw Error(fmt::format("{}: cannot be started: {}", options.arguments[0], std::strerror(errno)));
  }
  p.out = out[1];
  p.err = err[1];
  const auto begin = std::chrono::steady_clock::now();
  int pid = 0;
  Captured captured;
  try {
    pid = start(p);
  } catch (...) {
    for (const int fd : {out[0], out[1], err[0], err[1]}) ::close(fd);
    throw;
  }
  ::close(out[1]);
  ::close(err[1]);
  drain(out[0], err[0], captured);
  ::close(out[0]);
  ::close(err[0]);
  captured.exit = *reap(pid, begin, 0);
  return captured;
}

std::string signal_name(int number) {
  const char* name = ::sigabbrev_np(number);
  return name != nullptr ? fmt::format("SIG{}", name) : fmt::format("signal {}", number);
}

}  // namespace mneme::launch
