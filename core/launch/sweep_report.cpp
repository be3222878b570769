#include "core/launch/sweep_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>

#include "core/base/progress.h"
#include "core/config/override.h"

namespace mneme::launch {
using Json = nlohmann::ordered_json;

namespace {

constexpr std::size_t kLogLines = 8;
constexpr std::size_t kShownFailures = 10;

/// Wall time of the latest attempt so far.
double attempt_seconds(const RunReport& report) {
  if (report.ending) return report.ending->seconds;
  if (report.state != RunState::kRunning || !report.attempt) return 0;
  const double start = seconds_since_epoch(report.attempt->started);
  return start < 0 ? 0 : std::max(0.0, static_cast<double>(std::time(nullptr)) - start);
}

double estimate(const SweepReport& report) {
  SweepMoment moment;
  double sum = 0;
  std::size_t finished = 0;
  for (const auto& line : report.runs) {
    const RunEntry& entry = line.entry;
    const RunReport& run = line.report;
    if (entry.state == RunState::kDone && entry.seconds > 0) sum += entry.seconds, ++finished;
    if (entry.state == RunState::kRunning) {
      moment.active.push_back({entry.id, "", entry.seconds, run.progress.value_or(Progress{})});
    }
    moment.waiting += entry.state == RunState::kPending || entry.state == RunState::kQueued;
  }
  if (moment.active.empty()) return -1;
  moment.slots = moment.active.size();
  if (finished > 0) moment.mean_seconds = sum / static_cast<double>(finished);
  return sweep_eta(moment);
}

Json to_json(const RunLine& line) {
  const RunEntry& entry = line.entry;
  const RunReport& report = line.report;
  Json json{{"id", entry.id},
            {"overrides", entry.overrides},
            {"status", to_string(entry.state)},
            {"attempts", entry.attempts},
            {"seconds", entry.seconds},
            {"reason", entry.reason}};
  if (const auto& p = report.progress) {
    json["phase"] = p->phase;
    json["task"] = p->task;
    json["tasks"] = p->tasks;
    json["step"] = p->step;
    json["steps"] = p->steps;
    json["done"] = p->done;
    json["total"] = p->total;
    json["progress"] = entry.state == RunState::kDone ? 1.0 : progress_fraction(*p);
    json["eta_seconds"] =
        p->eta_seconds >= 0 && entry.state == RunState::kRunning ? Json(p->eta_seconds) : Json(nullptr);
    json["note"] = p->note;
  }
  if (report.attempt) {
    json["started"] = report.attempt->started;
    json["host"] = report.attempt->process.host;
    json["job"] = report.attempt->job;
  }
  if (report.ending) {
    json["finished"] = report.ending->finished;
    json["exit_code"] = report.ending->exit_code;
    json["signal"] = report.ending->signal;
    json["peak_bytes"] = report.ending->peak_bytes;
  }
  return json;
}

std::string progress_text(const RunLine& line) {
  if (line.entry.state != RunState::kRunning && line.entry.state != RunState::kInterrupted) return "";
  if (!line.report.progress) return line.entry.state == RunState::kRunning ? "starting" : "";
  Progress progress = *line.report.progress;
  if (line.entry.state != RunState::kRunning) progress.eta_seconds = -1;
  const std::string step = step_text(progress);
  return stage_text(progress, line.entry.seconds) + (step.empty() ? "" : "  " + step);
}

std::string counts_text(const SweepReport& report) {
  std::string text = fmt::format("{} of {} run(s) done", report.count(RunState::kDone), report.runs.size());
  for (const RunState state : {RunState::kRunning, RunState::kQueued, RunState::kFailed, RunState::kDiverged,
                               RunState::kInterrupted, RunState::kPending}) {
    if (report.count(state) > 0) text += fmt::format(", {} {}", report.count(state), to_string(state));
  }
  return text;
}

bool has_unfinished(const SweepReport& report) {
  return report.count(RunState::kDone) + report.count(RunState::kDiverged) < report.runs.size();
}

void print_failure(std::FILE* out, const SweepReport& report, const RunLine& line) {
  const auto& entry = line.entry;
  fmt::print(out, "\n{} {}  {}\n  {}\n", to_string(entry.state), entry.id, entry.label(), entry.reason);
  const auto directory = std::filesystem::path(report.directory) / entry.id;
  const auto lines = last_log_lines(directory, kLogLines);
  if (lines.empty()) return;
  fmt::print(out, "  the end of {}:\n", (directory / "run.log").string());
  for (const auto& text : lines) fmt::print(out, "    {}\n", text);
}

/// When the run was last submitted.
std::string submitted(const std::vector<Submission>& submissions, const std::string& id) {
  std::string latest;
  for (const auto& submission : submissions) {
    if (std::find(submission.runs.begin(), submission.runs.end(), id) != submission.runs.end())
      latest = submission.submitted;
  }
  return latest;
}

/// Lets Slurm speak about the runs that were submitted to it and are not known to have finished.
void ask_slurm(const SweepDirectory& sweep, SweepReport& report) {
  const bool open = std::any_of(report.runs.begin(), report.runs.end(),
                                [](const RunLine& line) { return !is_final(line.report.state); });
  const auto submissions = read_submissions(sweep.path());
  if (!open || submissions.empty()) return;
  const SlurmQueue queue = query_slurm(submissions);
  report.slurm_error = queue.error;
  for (auto& line : report.runs) {
    const auto task = queue.tasks.find(line.entry.id);
    if (task == queue.tasks.end()) continue;
    // A later attempt on this machine speaks for itself.
    if (line.report.attempt && line.report.attempt->job.empty() &&
        line.report.attempt->started > submitted(submissions, line.entry.id))
      continue;
    line.slurm = task->second;
    apply_task(line.report, task->second, queue.answered);
  }
}

}  // namespace

std::size_t SweepReport::count(RunState wanted) const {
  const auto it = counts.find(wanted);
  return it == counts.end() ? 0 : it->second;
}

std::string SweepReport::state() const {
  if (launcher || count(RunState::kRunning) > 0) return "running";
  if (count(RunState::kQueued) > 0) return "queued";
  if (all_done()) return "done";
  return count(RunState::kInterrupted) + count(RunState::kPending) > 0 ? "interrupted" : "finished";
}

SweepReport inspect_sweep(const SweepDirectory& sweep) {
  SweepReport report;
  report.directory = sweep.path().string();
  report.launcher = lock_holder(sweep.lock_path());
  for (const auto& entry : sweep.runs())
    report.runs.push_back({entry, inspect_run(sweep.run_path(entry)), std::nullopt});
  ask_slurm(sweep, report);
  for (auto& line : report.runs) {
    line.entry.state = line.report.state;
    line.entry.reason = line.report.reason;
    line.entry.seconds = attempt_seconds(line.report);
    if (line.report.attempt) line.entry.attempts = line.report.attempt->number;
    ++report.counts[line.entry.state];
  }
  report.eta_seconds = estimate(report);
  return report;
}

SweepReport reconcile(SweepDirectory& sweep) {
  SweepReport report = inspect_sweep(sweep);
  std::vector<RunEntry> changed;
  for (const auto& line : report.runs) {
    // An end that only the record told of is written down as if it had been seen.
    if (line.report.ending && !read_ending(sweep.run_path(line.entry))) {
      write_ending(sweep.run_path(line.entry), *line.report.ending);
    }
    const RunEntry& known = sweep.runs()[line.entry.index];
    if (known.state != line.entry.state || known.reason != line.entry.reason) changed.push_back(line.entry);
  }
  if (!changed.empty()) sweep.update(changed);
  return report;
}

std::vector<RunEntry> unfinished_runs(const SweepReport& report, bool with_diverged) {
  std::vector<RunEntry> result;
  for (const auto& line : report.runs) {
    const bool with_slurm =
        line.slurm && (line.entry.state == RunState::kQueued || line.entry.state == RunState::kRunning);
    if (with_slurm) continue;
    if (!is_final(line.entry.state) || (with_diverged && line.entry.state == RunState::kDiverged)) {
      result.push_back(line.entry);
    }
  }
  return result;
}

std::string status_json(const SweepReport& report) {
  Json json{{"directory", report.directory}, {"status", report.state()}, {"total", report.runs.size()}};
  for (const RunState state : {RunState::kPending, RunState::kQueued, RunState::kRunning, RunState::kDone,
                               RunState::kFailed, RunState::kDiverged, RunState::kInterrupted}) {
    json["counts"][std::string(to_string(state))] = report.count(state);
  }
  json["eta_seconds"] = report.eta_seconds >= 0 ? Json(report.eta_seconds) : Json(nullptr);
  json["launcher"] =
      report.launcher ? Json{{"pid", report.launcher->pid}, {"host", report.launcher->host}} : Json(nullptr);
  json["runs"] = Json::array();
  for (const auto& line : report.runs) json["runs"].push_back(to_json(line));
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

void print_status(std::FILE* out, const SweepReport& report) {
  fmt::print(out, "{}: {}", report.directory, report.state());
  if (report.launcher) fmt::print(out, " (process {} on {})", report.launcher->pid, report.launcher->host);
  fmt::print(out, ", {}", counts_text(report));
  if (report.eta_seconds >= 0) fmt::print(out, ", ETA {}", format_duration(report.eta_seconds));
  fmt::print(out, "\n");
  for (const auto& line : report.runs) {
    const auto& entry = line.entry;
    fmt::print(out, "  {}  {:<11} {:>8}  {}\n", entry.id, to_string(entry.state),
               entry.seconds > 0 ? format_duration(entry.seconds) : "", entry.label());
    const std::string progress = progress_text(line);
    if (!progress.empty()) fmt::print(out, "      {}\n", progress);
    if (!entry.reason.empty()) fmt::print(out, "      {}\n", entry.reason);
  }
  if (report.state() == "interrupted" || (report.state() == "finished" && has_unfinished(report))) {
    fmt::print(out, "go on with: mneme resume {}\n", config::shell_quoted(report.directory));
  }
}

void print_summary(std::FILE* out, const SweepReport& report, double seconds) {
  fmt::print(out, "{} in {}\n", counts_text(report), format_duration(seconds));
  std::size_t shown = 0, problems = 0;
  for (const auto& line : report.runs) {
    if (line.entry.state != RunState::kFailed && line.entry.state != RunState::kDiverged) continue;
    ++problems;
    if (shown < kShownFailures) print_failure(out, report, line), ++shown;
  }
  if (shown < problems)
    fmt::print(out, "\n… and {} more; 'mneme status {}' lists them\n", problems - shown,
               config::shell_quoted(report.directory));
  if (has_unfinished(report))
    fmt::print(out, "\ngo on with: mneme resume {}\n", config::shell_quoted(report.directory));
}

}  // namespace mneme::launch
