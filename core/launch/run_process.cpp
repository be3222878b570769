#include "core/launch/run_process.h"

#include <fmt/format.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "core/base/error.h"
#include "core/launch/options.h"

namespace mneme::launch {
namespace fs = std::filesystem;

namespace {

constexpr int kDivergedCode = 3;
constexpr int kOomScore = 500;  // under memory pressure the kernel shall take a run, not the launcher

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

std::string exit_reason(const ProcessExit& exit, bool out_of_memory) {
  const std::string peak = exit.peak_bytes > 0 ? fmt::format(", peak {}", format_bytes(exit.peak_bytes)) : "";
  if (exit.signal == SIGKILL && out_of_memory) return fmt::format("out of memory: killed by the kernel{}", peak);
  if (exit.signal == SIGKILL) return fmt::format("killed by SIGKILL, not by mneme{}", peak);
  if (exit.signal == SIGABRT) return "aborted (SIGABRT)";
  if (exit.signal == SIGSEGV) return "crashed (SIGSEGV: invalid memory access)";
  if (exit.signal != 0) return fmt::format("ended by {}", signal_name(exit.signal));
  return fmt::format("exit code {}", exit.code);
}

/// Adds what the record says about a failure or divergence to the reason, if it was written in this attempt.
void add_recorded_error(Ending& ending, const fs::path& run_directory, const Attempt& attempt) {
  if (ending.state == RunState::kDone || ending.signal != 0) return;
  const auto recorded = recorded_ending(run_directory);
  if (!recorded || recorded->state != ending.state || recorded->reason.empty()) return;
  if (seconds_since_epoch(recorded->finished) < seconds_since_epoch(attempt.started)) return;
  const std::string first_line = recorded->reason.substr(0, recorded->reason.find('\n'));
  ending.reason = ending.state == RunState::kFailed ? ending.reason + ": " + first_line : first_line;
}

}  // namespace

RunProcess::RunProcess(const fs::path& run_directory, const Runner& runner, const Slot& slot, Attempt attempt)
    : directory_(run_directory), attempt_(std::move(attempt)), kills_before_(watch_.kills()) {
  std::error_code none;
  const auto log_size = fs::file_size(directory_ / "run.log", none);
  attempt_.log_start = none ? 0 : static_cast<std::int64_t>(log_size);
  attempt_.started = utc_now();
  fs::remove(directory_ / "exit.json");
  fs::remove(directory_ / "progress.json");
  write_attempt(directory_, attempt_);  // without a process: a launcher killed here leaves "interrupted"
  child_.emplace(run_child(runner, directory_, slot));
  attempt_.process = identify(child_->pid());
  write_attempt(directory_, attempt_);
}

std::optional<Ending> RunProcess::poll() {
  const auto exit = child_->poll();
  if (!exit) return std::nullopt;
  Ending ending = judge_exit(*exit, watch_.kills() > kills_before_);
  add_recorded_error(ending, directory_, attempt_);
  return ending;
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

void clear_orphans(const SweepDirectory& sweep, const std::vector<RunEntry>& runs) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  for (const auto& run : runs) {
    const fs::path directory = sweep.run_path(run);
    const auto attempt = read_attempt(directory);
    if (!attempt || read_ending(directory)) continue;
    bool killed = false;
    while (liveness(attempt->process) == Liveness::kAlive) {
      if (!killed && std::chrono::steady_clock::now() > deadline) {
        ::kill(attempt->process.pid, SIGKILL);
        killed = true;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    if (liveness(attempt->process) == Liveness::kUnknown) {
      throw Error(
          fmt::format("run {} may still go on as process {} on {}, which cannot be seen from here; make sure that "
                      "it has ended, then remove {}",
                      run.id, attempt->process.pid, attempt->process.host, (directory / "process.json").string()));
    }
  }
}

}  // namespace mneme::launch
