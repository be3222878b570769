#include "core/launch/run_process.h"

#include <fmt/format.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "core/base/error.h"
#include "core/launch/half_written.h"
#include "core/launch/options.h"
#include "core/record/writer.h"

namespace mneme::launch {
namespace fs = std::filesystem;

namespace {

constexpr int kDivergedCode = 3, kStoppedCode = 130;
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

/// The run's own last word in this attempt: the error in its record; where it never began one, its last line in the
/// log.
std::string last_word(const Ending& ending, const fs::path& run_directory, const Attempt& attempt) {
  const auto recorded = recorded_ending(run_directory);
  const bool own = recorded && seconds_since_epoch(recorded->finished) >= seconds_since_epoch(attempt.started);
  if (own && recorded->state == ending.state) return recorded->reason.substr(0, recorded->reason.find('\n'));
  const auto lines = last_log_lines(run_directory, 1);
  constexpr std::string_view kProgram = "mneme-run: ";  // how the program says why it ends
  return lines.empty() || !lines[0].starts_with(kProgram) ? "" : lines[0].substr(kProgram.size());
}

void add_last_word(Ending& ending, const fs::path& run_directory, const Attempt& attempt) {
  if (ending.state == RunState::kDone || ending.signal != 0) return;
  const std::string word = last_word(ending, run_directory, attempt);
  if (!word.empty()) ending.reason = ending.state == RunState::kFailed ? ending.reason + ": " + word : word;
}

}  // namespace

RunProcess::RunProcess(const fs::path& run_directory, const Runner& runner, const Slot& slot, Attempt attempt)
    : directory_(run_directory), attempt_(std::move(attempt)), kills_before_(watch_.kills()) {
  std::error_code none;
  const auto log_size = fs::file_size(directory_ / "run.log", none);
  attempt_.log_start = none ? 0 : static_cast<std::int64_t>(log_size);
  attempt_.started = utc_now();
  remove_half_written(directory_, true);
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
  prefer_finished_record(ending, directory_);
  add_last_word(ending, directory_, attempt_);
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
  } else if (exit.signal == 0 && exit.code == kStoppedCode) {
    ending.state = RunState::kInterrupted;
    ending.reason = "stopped by a signal";
  } else {
    ending.state = RunState::kFailed;
    ending.reason = exit_reason(exit, out_of_memory);
  }
  return ending;
}

void end_attempt(const fs::path& run_directory, const Ending& ending) {
  write_ending(run_directory, ending);
  if (ending.state == RunState::kFailed) record::mark_failed(run_directory / "run.h5", ending.reason);
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
