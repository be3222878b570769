#include "core/launch/slurm.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/launch/signals.h"
#include "core/launch/slurm_queue.h"
#include "core/launch/slurm_script.h"

namespace mneme::launch {
namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::size_t kDefaultArraySize = 1001;  // Slurm's own default
constexpr int kTickMilliseconds = 200;

/// Tasks that one array may have at most.
std::size_t max_array_size() {
  const std::string config = slurm_command({"scontrol", "show", "config"});
  const auto position = config.find("MaxArraySize");
  const auto equals = position == config.npos ? config.npos : config.find('=', position);
  if (equals == config.npos) return kDefaultArraySize;
  try {
    return std::max<std::size_t>(1, std::stoul(config.substr(equals + 1)));
  } catch (const std::exception&) {
    return kDefaultArraySize;
  }
}

/// Writes the script of one array, submits it, and notes it down before and after: a launcher killed in between finds
/// the job again by its name.
Submission submit_array(const fs::path& sweep, const SlurmOrder& order, const std::vector<std::string>& ids) {
  auto submissions = read_submissions(sweep);
  Submission submission;
  submission.token = std::to_string(submissions.size() + 1);
  submission.job_name = slurm_job_name(order.settings, sweep, submission.token);
  submission.submitted = utc_now();
  submission.again = order.again;
  submission.runs = ids;
  const fs::path script = sweep / ".mneme" / "slurm" / (submission.token + ".sh");
  write_file_atomically(
      script, slurm_script(order.settings, {order.program, sweep, submission.job_name, submission.token, ids.size()}));
  submissions.push_back(submission);
  write_submissions(sweep, submissions);
  try {
    const std::string answer = slurm_command({"sbatch", "--parsable", script.string()});
    submission.job = answer.substr(0, answer.find_first_of(";\n"));
  } catch (const Error&) {
    submissions.pop_back();
    write_submissions(sweep, submissions);
    throw;
  }
  submissions.back() = submission;
  write_submissions(sweep, submissions);
  return submission;
}

/// Short sweeps are looked at often, long ones in a way that a busy controller does not feel.
Clock::duration poll_interval(Clock::duration elapsed) {
  return std::clamp<Clock::duration>(elapsed / 20, std::chrono::seconds(1), std::chrono::seconds(15));
}

SweepMoment moment_of(const SweepReport& report, Clock::time_point start) {
  SweepMoment now;
  now.total = report.runs.size();
  now.done = report.count(RunState::kDone);
  now.failed = report.count(RunState::kFailed);
  now.diverged = report.count(RunState::kDiverged);
  now.waiting = report.count(RunState::kQueued);
  now.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  double sum = 0;
  for (const auto& line : report.runs) {
    const RunEntry& entry = line.entry;
    const RunReport& run = line.report;
    if (entry.state == RunState::kDone) sum += entry.seconds;
    if (entry.state == RunState::kRunning) {
      now.active.push_back({entry.id, entry.label(), entry.seconds, run.progress.value_or(Progress{})});
    }
  }
  now.slots = std::max<std::size_t>(1, now.active.size());
  if (now.done > 0) now.mean_seconds = sum / static_cast<double>(now.done);
  return now;
}

/// The watching of one sweep.
class Watch {
 public:
  Watch(SweepDirectory& sweep, const Settings& settings, fs::path program, SweepView& view)
      : sweep_(sweep), settings_(settings), program_(std::move(program)), view_(view) {}

  LaunchResult run() {
    const Signals signals(Signals::stopping());
    SweepReport report = reconcile(sweep_);
    for (const auto& line : report.runs) shown_[line.entry.id] = line.entry.state;
    Clock::time_point next = Clock::now();
    for (;;) {
      if (Clock::now() >= next) {
        report = reconcile(sweep_);
        announce(report);
        if (submit_again(report)) continue;
        if (!goes_on(report) && ++quiet_ > 1) break;  // twice: a file may appear a moment after Slurm's answer
        next = Clock::now() + poll_interval(Clock::now() - start_);
      }
      view_.tick(moment_of(report, start_));
      if (!signals.wait(kTickMilliseconds).empty()) return {.interrupted = true};
    }
    return {};
  }

 private:
  bool goes_on(const SweepReport& report) {
    const bool active = report.count(RunState::kQueued) + report.count(RunState::kRunning) > 0;
    if (active) quiet_ = 0;
    return active;
  }

  void announce(const SweepReport& report) {
    if (report.slurm_error != last_error_ && !report.slurm_error.empty()) view_.say("warning: " + report.slurm_error);
    last_error_ = report.slurm_error;
    const SweepMoment now = moment_of(report, start_);
    for (const auto& line : report.runs) {
      RunState& shown = shown_[line.entry.id];
      if (shown == line.entry.state) continue;
      shown = line.entry.state;
      if (shown == RunState::kRunning) view_.started(line.entry, now);
      if (shown != RunState::kRunning && shown != RunState::kQueued) view_.ended(line.entry, now);
      if (shown == RunState::kQueued && line.report.attempt)
        view_.say(fmt::format("queued   {}  {}", line.entry.id, line.entry.label()));
    }
  }

  /// Submits what the cluster lost, each run at most as often as the budget of requeues allows.
  bool submit_again(const SweepReport& report) {
    std::vector<RunEntry> lost;
    for (const auto& line : report.runs) {
      if (line.entry.state != RunState::kInterrupted || !line.slurm || !is_lost_to_cluster(*line.slurm)) continue;
      const int used = std::max(resubmitted_[line.entry.id], line.report.attempt ? line.report.attempt->requeues : 0);
      if (used >= settings_.launcher.slurm.requeues) continue;
      resubmitted_[line.entry.id] = used + 1;
      lost.push_back(line.entry);
    }
    if (lost.empty()) return false;
    view_.say(fmt::format("{} run(s) lost by the cluster are submitted again", lost.size()));
    submit_to_slurm(sweep_, lost, {settings_, program_, true}, view_);
    return true;
  }

  SweepDirectory& sweep_;
  const Settings& settings_;
  fs::path program_;
  SweepView& view_;
  std::map<std::string, RunState> shown_;
  std::map<std::string, int> resubmitted_;
  std::string last_error_;
  int quiet_ = 0;
  Clock::time_point start_ = Clock::now();
};

}  // namespace

void submit_to_slurm(SweepDirectory& sweep, const std::vector<RunEntry>& runs, const SlurmOrder& order,
                     SweepView& view) {
  fs::create_directories(sweep.path() / ".mneme" / "slurm");
  const std::size_t most = max_array_size();
  for (std::size_t begin = 0; begin < runs.size(); begin += most) {
    const std::size_t end = std::min(runs.size(), begin + most);
    std::vector<std::string> ids;
    std::vector<RunEntry> queued(runs.begin() + static_cast<std::ptrdiff_t>(begin),
                                 runs.begin() + static_cast<std::ptrdiff_t>(end));
    for (auto& run : queued) {
      ids.push_back(run.id);
      run.state = RunState::kQueued;
      run.reason.clear();
    }
    const Submission submission = submit_array(sweep.path(), order, ids);
    sweep.update(queued);
    view.say(fmt::format("submitted {} run(s) as Slurm job {}", ids.size(), submission.job));
  }
}

LaunchResult watch_slurm(SweepDirectory& sweep, const Settings& settings, const fs::path& program, SweepView& view) {
  return Watch(sweep, settings, program, view).run();
}

}  // namespace mneme::launch
