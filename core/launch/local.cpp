#include "core/launch/local.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <deque>
#include <utility>

#include "core/base/error.h"
#include "core/launch/run_process.h"
#include "core/launch/signals.h"

namespace mneme::launch {
namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

namespace {

constexpr int kPollMilliseconds = 100;

/// A run that is going on.
struct Active {
  RunEntry run;
  Slot slot;
  RunProcess process;
  int asked = 0;  ///< how often it was told to stop: 1 SIGINT, 2 SIGTERM, 3 SIGKILL
  Clock::time_point start = Clock::now();
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
    const Signals signals(Signals::stopping());
    while (!active_.empty() || (!queue_.empty() && !stopping_)) {
      fill_slots();
      if (const auto came = signals.wait(active_.empty() ? 0 : kPollMilliseconds); !came.empty()) stop(came.size());
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
    const Slot slot = free_.front();
    Attempt attempt;
    attempt.number = ++run.attempts;
    run.state = RunState::kRunning;
    run.reason.clear();
    try {
      RunProcess process(sweep_.run_path(run), runner_, slot, attempt);
      sweep_.update(run);
      free_.erase(free_.begin());
      active_.push_back({run, slot, std::move(process)});
      view_.started(run, moment());
    } catch (const std::exception& e) {
      end(std::move(run), {.state = RunState::kFailed, .reason = e.what(), .finished = utc_now()});
    }
  }

  void reap() {
    for (std::size_t i = 0; i < active_.size();) {
      auto ending = active_[i].process.poll();
      if (!ending) {
        ++i;
        continue;
      }
      Active ended = std::move(active_[i]);
      active_.erase(active_.begin() + static_cast<std::ptrdiff_t>(i));
      free_.push_back(ended.slot);
      if (ended.asked > 0 && (ending->state == RunState::kFailed || ending->state == RunState::kInterrupted)) {
        ending->state = RunState::kInterrupted;
        ending->reason = ended.asked == 1 ? "stopped by the user" : "stopped by the user; it had to be killed";
      }
      end(std::move(ended.run), *ending);
    }
  }

  void end(RunEntry run, const Ending& ending) {
    run.state = ending.state;
    run.reason = ending.reason;
    run.seconds = ending.seconds;
    with_context(fmt::format("writing the end of run {}", run.id), [&] {
      end_attempt(sweep_.run_path(run), ending);
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
  void stop(std::size_t requests) {
    const bool again = result_.interrupted || requests > 1;
    stopping_ = result_.interrupted = true;
    for (auto& active : active_) {
      active.process.signal(again ? SIGKILL : SIGINT);
      active.asked = again ? 3 : 1;
    }
    stop_time_ = Clock::now();
    if (active_.empty()) return;
    view_.say(again ? fmt::format("killing {} run(s)", active_.size())
                    : fmt::format("stopping {} run(s): what they have finished is saved; Ctrl-C again kills them",
                                  active_.size()));
  }

  /// Presses runs that do not react to having been asked.
  void press() {
    if (!result_.interrupted) return;
    const double waited = std::chrono::duration<double>(Clock::now() - stop_time_).count();
    for (auto& active : active_) {
      const int due = waited >= options_.stop_seconds ? 3 : waited >= options_.stop_seconds / 2 ? 2 : 1;
      if (due <= active.asked) continue;
      active.asked = due;
      active.process.signal(due == 3 ? SIGKILL : SIGTERM);
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

}  // namespace

LaunchResult launch_local(SweepDirectory& sweep, const std::vector<RunEntry>& runs, const LauncherOptions& options,
                          const Runner& runner, SweepView& view) {
  std::vector<std::string> warnings;
  const Machine machine = detect_machine();
  std::vector<Slot> slots = make_slots(options, machine, runs.size(), warnings);
  for (const auto& warning : warnings) view.say("warning: " + warning);
  const bool pin = may_pin(options, machine, slots);
  const CoreReservation reservation(machine.cores, pin ? slots.size() * static_cast<std::size_t>(slots[0].threads) : 0);
  pin_slots(slots, machine, reservation);
  view.say(fmt::format("{} run(s), {} at a time, {} thread(s) each", runs.size(), slots.size(), slots[0].threads));
  return LocalLaunch(sweep, options, runner, view).run(runs, std::move(slots));
}

}  // namespace mneme::launch
