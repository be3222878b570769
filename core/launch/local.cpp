#include "core/launch/local.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <deque>
#include <thread>
#include <utility>

#include "core/base/error.h"
#include "core/launch/memory_watch.h"

namespace mneme::launch {
namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

namespace {

constexpr int kDivergedCode = 3;
constexpr int kOomScore = 500;  // under memory pressure the kernel shall take a run, not the launcher
constexpr int kPollMilliseconds = 100;

/// Turns the signals that end a launcher, and SIGCHLD, into something to wait for; restores on scope exit.
class Signals {
 public:
  Signals() {
    sigset_t set;
    sigemptyset(&set);
    for (const int number : {SIGINT, SIGTERM, SIGCHLD}) sigaddset(&set, number);
    struct sigaction hangup {};
    ::sigaction(SIGHUP, nullptr, &hangup);
    if (hangup.sa_handler != SIG_IGN) sigaddset(&set, SIGHUP);  // nohup stays nohup
    ::pthread_sigmask(SIG_BLOCK, &set, &before_);
    struct sigaction ignore {};
    ignore.sa_handler = SIG_IGN;
    ::sigaction(SIGPIPE, &ignore, &pipe_before_);
    fd_ = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd_ < 0) throw Error(fmt::format("signals cannot be received: {}", std::strerror(errno)));
  }
  ~Signals() {
    ::close(fd_);
    ::sigaction(SIGPIPE, &pipe_before_, nullptr);
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  /// Waits a moment; returns how many requests to stop came.
  int wait(int milliseconds) const {
    pollfd entry{fd_, POLLIN, 0};
    ::poll(&entry, 1, milliseconds);
    int stops = 0;
    for (signalfd_siginfo info{}; ::read(fd_, &info, sizeof info) == static_cast<ssize_t>(sizeof info);) {
      if (info.ssi_signo != static_cast<std::uint32_t>(SIGCHLD)) ++stops;
    }
    return stops;
  }

 private:
  sigset_t before_{};
  struct sigaction pipe_before_ {};
  int fd_ = -1;
};

/// A run that is going on.
struct Active {
  RunEntry run;
  Attempt attempt;
  Slot slot;
  Child child;
  Clock::time_point start = Clock::now();
  std::int64_t kills_before = 0;
  int asked = 0;  ///< how often it was told to stop: 1 SIGINT, 2 SIGTERM, 3 SIGKILL
};

/// The launch in progress.
class LocalLaunch {
 public:
  LocalLaunch(SweepDirectory& sweep, const LauncherOptions& options, const Runner& runner, SweepView& view)
      : sweep_(sweep), options_(options), runner_(runner), view_(view) {}

  LaunchResult run(const std::vector<RunEntry>& runs, std::vector<Slot> slots) {
    queue_.assign(runs.begin(), runs.end());
    free_ = std::move(slots);
    slot_count_ = free_.size();
    const Signals signals;
    while (!active_.empty() || (!queue_.empty() && !stopping_)) {
      fill_slots();
      if (const int stops = signals.wait(active_.empty() ? 0 : kPollMilliseconds); stops > 0) stop(stops);
      reap();
      press();
      view_.tick(moment());
    }
    result_.stopped_on_error = result_.stopped_on_error && !queue_.empty();
    return result_;
  }

 private:
  void fill_slots() {
    while (!stopping_ && !queue_.empty() && !free_.empty()) {
      RunEntry run = std::move(queue_.front());
      queue_.pop_front();
      start(std::move(run));
    }
  }

  void start(RunEntry run) {
    const fs::path directory = sweep_.run_path(run);
    const Slot slot = free_.front();
    std::error_code none;
    const auto log_size = fs::file_size(directory / "run.log", none);
    Attempt attempt;
    attempt.number = ++run.attempts;
    attempt.started = utc_now();
    attempt.log_start = none ? 0 : static_cast<std::int64_t>(log_size);
    run.state = RunState::kRunning;
    run.reason.clear();
    try {
      fs::remove(directory / "exit.json");
      fs::remove(directory / "progress.json");
      write_attempt(directory, attempt);  // without a process: a launcher killed here leaves "interrupted"
      Child child(run_child(runner_, directory, slot));
      attempt.process = identify(child.pid());
      write_attempt(directory, attempt);
      sweep_.update(run);
      free_.erase(free_.begin());
      active_.push_back({run, attempt, slot, std::move(child), Clock::now(), watch_.kills(), 0});
      view_.started(run, moment());
    } catch (const std::exception& e) {
      end(std::move(run), {.state = RunState::kFailed, .reason = e.what(), .finished = utc_now()});
    }
  }

  void reap() {
    for (std::size_t i = 0; i < active_.size();) {
      const auto exit = active_[i].child.poll();
      if (!exit) {
        ++i;
        continue;
      }
      Active ended = std::move(active_[i]);
      active_.erase(active_.begin() + static_cast<std::ptrdiff_t>(i));
      free_.push_back(ended.slot);
      Ending ending = judge_exit(*exit, watch_.kills() > ended.kills_before);
      add_recorded_error(ending, sweep_.run_path(ended.run), ended.attempt);
      if (ended.asked > 0 && ending.state == RunState::kFailed) {
        ending.state = RunState::kInterrupted;
        ending.reason = ended.asked == 1 ? "stopped by the user" : "stopped by the user; it had to be killed";
      }
      end(std::move(ended.run), ending);
    }
  }

  void end(RunEntry run, const Ending& ending) {
    run.state = ending.state;
    run.reason = ending.reason;
    run.seconds = ending.seconds;
    with_context(fmt::format("writing the end of run {}", run.id), [&] {
      write_ending(sweep_.run_path(run), ending);
      sweep_.update(run);
    });
    if (ending.state == RunState::kDone) {
      finished_seconds_ += ending.seconds;
      ++finished_;
    }
    if (ending.state == RunState::kFailed && options_.stop_on_error && !stopping_) {
      stopping_ = result_.stopped_on_error = true;
      if (!queue_.empty()) view_.say(fmt::format("on_error: stop: {} waiting run(s) are not started", queue_.size()));
    }
    view_.ended(run, moment());
  }

  /// The user asks to stop: first kindly, the second time at once.
  void stop(int requests) {
    const bool again = result_.interrupted || requests > 1;
    stopping_ = result_.interrupted = true;
    for (auto& active : active_) {
      active.child.signal(again ? SIGKILL : SIGINT);
      active.asked = again ? 3 : 1;
    }
    stop_time_ = Clock::now();
    if (active_.empty()) return;
    view_.say(again ? fmt::format("killing {} run(s)", active_.size())
                    : fmt::format("stopping: {} run(s) save their state; Ctrl-C again kills them", active_.size()));
  }

  /// Presses runs that do not react to having been asked.
  void press() {
    if (!result_.interrupted) return;
    const double waited = std::chrono::duration<double>(Clock::now() - stop_time_).count();
    for (auto& active : active_) {
      const int due = waited >= options_.stop_seconds ? 3 : waited >= options_.stop_seconds / 2 ? 2 : 1;
      if (due <= active.asked) continue;
      active.asked = due;
      active.child.signal(due == 3 ? SIGKILL : SIGTERM);
      view_.say(fmt::format("run {} does not stop: {}", active.run.id, due == 3 ? "killing it" : "sending SIGTERM"));
    }
  }

  SweepMoment moment() const {
    SweepMoment now;
    now.total = sweep_.runs().size();
    for (const auto& run : sweep_.runs()) {
      now.done += run.state == RunState::kDone;
      now.failed += run.state == RunState::kFailed;
      now.diverged += run.state == RunState::kDiverged;
    }
    now.waiting = stopping_ ? 0 : queue_.size();
    now.slots = slot_count_;
    now.seconds = seconds_since(start_);
    if (finished_ > 0) now.mean_seconds = finished_seconds_ / static_cast<double>(finished_);
    for (const auto& active : active_) {
      now.active.push_back({active.run.id, active.run.label(), seconds_since(active.start),
                            read_progress(sweep_.run_path(active.run)).value_or(Progress{})});
    }
    return now;
  }

  static double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  }

  SweepDirectory& sweep_;
  const LauncherOptions& options_;
  const Runner& runner_;
  SweepView& view_;
  MemoryWatch watch_;
  std::deque<RunEntry> queue_;
  std::vector<Active> active_;
  std::vector<Slot> free_;
  std::size_t slot_count_ = 1;
  LaunchResult result_;
  bool stopping_ = false;
  double finished_seconds_ = 0;
  std::size_t finished_ = 0;
  Clock::time_point start_ = Clock::now(), stop_time_{};
};

std::string exit_reason(const ProcessExit& exit, bool out_of_memory) {
  const std::string peak = exit.peak_bytes > 0 ? fmt::format(", peak {}", format_bytes(exit.peak_bytes)) : "";
  if (exit.signal == SIGKILL && out_of_memory) return fmt::format("out of memory: killed by the kernel{}", peak);
  if (exit.signal == SIGKILL) return fmt::format("killed by SIGKILL, not by mneme{}", peak);
  if (exit.signal == SIGABRT) return "aborted (SIGABRT)";
  if (exit.signal == SIGSEGV) return "crashed (SIGSEGV: invalid memory access)";
  if (exit.signal != 0) return fmt::format("ended by {}", signal_name(exit.signal));
  return fmt::format("exit code {}", exit.code);
}

}  // namespace

ChildOptions run_child(const Runner& runner, const fs::path& run_directory, const Slot& slot) {
  ChildOptions options;
  const fs::path home = fs::absolute(run_directory).lexically_normal();
  options.arguments = {runner.program.string(), "run", home.string()};
  options.environment = runner.environment;
  for (const auto& [key, value] : slot_environment(slot)) options.environment[key] = value;
  options.directory = runner.directory;
  options.log = home / "run.log";
  options.cpus = slot.cpus;
  options.oom_score = kOomScore;
  return options;
}

Ending judge_exit(const ProcessExit& exit, bool out_of_memory) {
  Ending ending;
  ending.exit_code = exit.code;
  ending.signal = exit.signal;
  ending.seconds = exit.seconds;
  ending.peak_bytes = exit.peak_bytes;
  ending.finished = utc_now();
  if (exit.signal == 0 && exit.code == 0) {
    ending.state = RunState::kDone;
  } else if (exit.signal == 0 && exit.code == kDivergedCode) {
    ending.state = RunState::kDiverged;
    ending.reason = "the loss is not finite";
  } else {
    ending.state = RunState::kFailed;
    ending.reason = exit_reason(exit, out_of_memory);
  }
  return ending;
}

void add_recorded_error(Ending& ending, const fs::path& run_directory, const Attempt& attempt) {
  if (ending.state == RunState::kDone || ending.signal != 0) return;
  const auto recorded = recorded_ending(run_directory);
  if (!recorded || recorded->state != ending.state || recorded->reason.empty()) return;
  if (seconds_since_epoch(recorded->finished) < seconds_since_epoch(attempt.started)) return;
  const std::string first_line = recorded->reason.substr(0, recorded->reason.find('\n'));
  ending.reason = ending.state == RunState::kFailed ? ending.reason + ": " + first_line : first_line;
}

LaunchResult launch_local(SweepDirectory& sweep, const std::vector<RunEntry>& runs, const LauncherOptions& options,
                          const Runner& runner, SweepView& view) {
  std::vector<std::string> warnings;
  const Machine machine = detect_machine();
  std::vector<Slot> slots = make_slots(options, machine, runs.size(), warnings);
  for (const auto& warning : warnings) view.say("warning: " + warning);
  const bool pin = slots.size() > 1 && machine.pinnable;
  const CoreReservation reservation(machine.cores, pin ? slots.size() * static_cast<std::size_t>(slots[0].threads) : 0);
  pin_slots(slots, machine, reservation);
  view.say(fmt::format("{} run(s), {} at a time, {} thread(s) each", runs.size(), slots.size(), slots[0].threads));
  return LocalLaunch(sweep, options, runner, view).run(runs, std::move(slots));
}

void clear_orphans(const SweepDirectory& sweep, const std::vector<RunEntry>& runs) {
  auto deadline = Clock::now() + std::chrono::seconds(2);
  for (const auto& run : runs) {
    const fs::path directory = sweep.run_path(run);
    const auto attempt = read_attempt(directory);
    if (!attempt || read_ending(directory)) continue;
    bool killed = false;
    while (liveness(attempt->process) == Liveness::kAlive) {
      if (!killed && Clock::now() > deadline) {
        ::kill(attempt->process.pid, SIGKILL);
        killed = true;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    if (liveness(attempt->process) == Liveness::kUnknown) {
      throw Error(fmt::format("run {} may still go on as process {} on {}, which cannot be seen from here; make sure that "
                              "it has ended, then remove {}",
                              run.id, attempt->process.pid, attempt->process.host, (directory / "process.json").string()));
    }
  }
}

}  // namespace mneme::launch
