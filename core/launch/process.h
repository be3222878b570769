#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace mneme::launch {

/// A process named so that a reused number never matches: its id and start time, in one pid namespace of one boot.
struct ProcessIdentity {
  int pid = 0;
  std::uint64_t start_ticks = 0;  ///< clock ticks between boot and the start of the process
  std::string place;              ///< boot id and pid namespace; ids of different places cannot be compared
  std::string host;               ///< for messages
};

/// Identity of a live process of this machine; pid 0 if there is none (or only a zombie).
ProcessIdentity identify(int pid);
ProcessIdentity this_process();

enum class Liveness { kAlive, kDead, kUnknown };
/// Whether the named process still runs; kUnknown if it belongs to another machine or pid namespace.
Liveness liveness(const ProcessIdentity& process);

/// How a child ended.
struct ProcessExit {
  int code = 0;                 ///< exit code; 0 if a signal ended it
  int signal = 0;               ///< the signal that ended it, 0 if none
  double seconds = 0;           ///< wall time
  std::int64_t peak_bytes = 0;  ///< largest resident size
};

/// What to start and how.
struct ChildOptions {
  std::vector<std::string> arguments;              ///< the program's path first
  std::map<std::string, std::string> environment;  ///< set on top of this process's environment
  std::filesystem::path directory;                 ///< working directory; empty: this process's
  std::filesystem::path log;                       ///< standard output and error are appended here; empty: inherited
  std::vector<int> cpus;                           ///< hardware threads it may use; empty: all
  int oom_score = 0;                               ///< raises the kernel's readiness to pick it when memory runs out
};

/// A child process in a process group of its own, with /dev/null as input. It is killed by the kernel when the thread
/// that started it ends, and by the destructor if it still runs.
class Child {
 public:
  /// Throws Error naming the program and the reason if it cannot be started.
  explicit Child(const ChildOptions& options);
  ~Child();
  Child(Child&& other) noexcept;
  Child& operator=(Child&& other) noexcept;

  int pid() const { return pid_; }
  /// How it ended, or nothing while it runs.
  std::optional<ProcessExit> poll();
  /// Sends a signal to its process group.
  void signal(int number) const;

 private:
  int pid_ = 0;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// Output and exit of a short helper program.
struct Captured {
  ProcessExit exit;
  std::string output;
  std::string error;
  bool ok() const { return exit.code == 0 && exit.signal == 0; }
};

/// Runs a program to its end and returns what it printed. Throws Error if it cannot be started.
Captured run_and_capture(const ChildOptions& options);

/// "SIGKILL", "SIGABRT", …, or "signal 47".
std::string signal_name(int number);

}  // namespace mneme::launch
