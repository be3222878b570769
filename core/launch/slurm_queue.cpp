#include "core/launch/slurm_queue.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string_view>

#include "core/base/error.h"
#include "core/base/file.h"

namespace mneme::launch {
namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

namespace {

enum class Phase { kWaiting, kActive, kEnded };

template <std::size_t N>
bool is_one_of(const std::string& state, const std::array<std::string_view, N>& states) {
  return std::find(states.begin(), states.end(), state) != states.end();
}

Phase phase_of(const std::string& state) {
  constexpr std::array<std::string_view, 7> waiting{"PENDING",       "REQUEUED",     "REQUEUE_FED", "REQUEUE_HOLD",
                                                    "RESV_DEL_HOLD", "SPECIAL_EXIT", "CONFIGURING"};
  constexpr std::array<std::string_view, 7> active{"RUNNING",   "COMPLETING", "SUSPENDED", "STOPPED",
                                                   "SIGNALING", "RESIZING",   "STAGE_OUT"};
  if (is_one_of(state, waiting)) return Phase::kWaiting;
  return is_one_of(state, active) ? Phase::kActive : Phase::kEnded;
}

/// Where to look for a program: PATH, as a shell does.
fs::path find_program(const std::string& name) {
  std::istringstream path(std::getenv("PATH") != nullptr ? std::getenv("PATH") : "/usr/local/bin:/usr/bin:/bin");
  for (std::string directory; std::getline(path, directory, ':');) {
    const fs::path candidate = fs::path(directory) / name;
    std::error_code ignored;
    if (fs::is_regular_file(candidate, ignored)) return candidate;
  }
  throw Error(fmt::format("{}: not found in PATH; is this a machine with Slurm? Otherwise use --launcher local", name));
}

const std::map<std::string, std::string>& state_words() {
  static const std::map<std::string, std::string> words{
      {"CANCELLED", "it was cancelled in Slurm"},
      {"TIMEOUT", "it ran into Slurm's time limit"},
      {"DEADLINE", "it ran into Slurm's deadline"},
      {"NODE_FAIL", "its node failed"},
      {"BOOT_FAIL", "its node did not boot"},
      {"PREEMPTED", "it was preempted"},
      {"OUT_OF_MEMORY", "out of memory: Slurm killed it"},
      {"", "Slurm does not know its task any more: cancelled, or lost long ago"}};
  return words;
}

std::string in_words(const SlurmTask& task) {
  const auto it = state_words().find(task.state);
  const std::string words =
      it != state_words().end() ? it->second : fmt::format("Slurm says {} ({})", task.state, task.reason);
  return fmt::format("{} (task {})", words, task.id);
}

/// " on node3", where an attempt of the run has begun.
std::string where(const RunReport& report) {
  const bool known = report.attempt && !report.attempt->process.host.empty();
  return known ? fmt::format(" on {}", report.attempt->process.host) : "";
}

/// The task ended, or is unknown, and the run's files tell of no end.
void apply_end_without_trace(RunReport& report, const SlurmTask& task, bool began) {
  const bool failed = task.state == "FAILED" || task.state == "OUT_OF_MEMORY" || task.state == "COMPLETED";
  report.state = failed ? RunState::kFailed : RunState::kInterrupted;
  report.reason =
      began ? in_words(task) + where(report)
            : fmt::format("never began: {}; its output, if any: .mneme/slurm/{}.out", in_words(task), task.id);
}

/// Why the task waits; of one that had begun, also how it came back into the queue.
std::string waiting_reason(const RunReport& report, const SlurmTask& task, bool began) {
  const std::string reason = task.reason == "None" ? "" : task.reason;
  if (!began) return reason;
  std::string words =
      report.ending ? report.ending->reason : fmt::format("lost{} with its node, or preempted", where(report));
  if (words.find("back in the queue") == words.npos) words += "; Slurm has put it back in the queue";
  return reason.empty() ? words : fmt::format("{} ({})", words, reason);
}

}  // namespace

std::vector<Submission> read_submissions(const fs::path& sweep) {
  const fs::path file = sweep / ".mneme" / "slurm" / "submissions.json";
  if (!fs::exists(file)) return {};
  std::vector<Submission> submissions;
  try {
    for (const auto& item : Json::parse(read_file(file))) {
      submissions.push_back({item.at("token"), item.at("job_name"), item.at("job"), item.at("submitted"),
                             item.at("again"), item.at("runs").get<std::vector<std::string>>()});
    }
  } catch (const Json::exception& e) {
    throw Error(fmt::format("{}: is not what mneme writes: {}", file.string(), e.what()));
  }
  return submissions;
}

void write_submissions(const fs::path& sweep, const std::vector<Submission>& submissions) {
  Json list = Json::array();
  for (const auto& s : submissions) {
    list.push_back({{"token", s.token},
                    {"job_name", s.job_name},
                    {"job", s.job},
                    {"submitted", s.submitted},
                    {"again", s.again},
                    {"runs", s.runs}});
  }
  write_file_atomically(sweep / ".mneme" / "slurm" / "submissions.json", list.dump(1) + "\n");
}

std::string slurm_command(const std::vector<std::string>& arguments) {
  ChildOptions options;
  options.arguments = arguments;
  options.arguments[0] = find_program(arguments[0]).string();
  Captured captured = run_and_capture(options);
  if (!captured.ok()) {
    std::string message = captured.error.empty() ? captured.output : captured.error;
    while (!message.empty() && message.back() == '\n') message.pop_back();
    throw Error(fmt::format("{} failed: {}", fmt::join(arguments, " "), message));
  }
  return std::move(captured.output);
}

SlurmQueue query_slurm(const std::vector<Submission>& submissions) {
  SlurmQueue queue;
  std::map<std::string, const Submission*> by_name;
  std::vector<std::string> names;
  for (const auto& s : submissions) {
    by_name[s.job_name] = &s;
    names.push_back(s.job_name);
    for (std::size_t i = 0; i < s.runs.size(); ++i) queue.tasks[s.runs[i]] = {fmt::format("{}_{}", s.job, i), "", ""};
  }
  if (names.empty()) return queue;
  std::string output;
  try {
    output = slurm_command({"squeue", "-h", "-r", "-a", "-t", "all", "-n", fmt::format("{}", fmt::join(names, ",")),
                            "-o", "%j|%F|%K|%T|%r"});
  } catch (const Error& e) {
    queue.answered = false;
    queue.error = e.message();
    return queue;
  }
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    std::array<std::string, 5> fields;
    std::istringstream parts(line);
    for (auto& field : fields) std::getline(parts, field, '|');
    const auto it = by_name.find(fields[0]);
    if (it == by_name.end() || fields[2].find_first_not_of("0123456789") != std::string::npos || fields[2].empty())
      continue;
    const Submission& submission = *it->second;
    const std::size_t index = std::stoul(fields[2]);
    if (index >= submission.runs.size()) continue;
    // Another job of this name belongs to a sweep that was here before and was removed.
    if (!submission.job.empty() && fields[1] != submission.job) continue;
    SlurmTask& task = queue.tasks[submission.runs[index]];
    // An older submission of the same run does not speak for it.
    if (!submission.job.empty() && task.id != fmt::format("{}_{}", submission.job, index)) continue;
    task = {fmt::format("{}_{}", fields[1], index), fields[3], fields[4]};
  }
  return queue;
}

void apply_task(RunReport& report, const SlurmTask& task, bool answered) {
  if (is_final(report.state)) return;
  const bool began = report.attempt && report.attempt->job == task.id;
  const bool ended = began && report.ending.has_value();
  if (!answered) {
    if (!ended) report.state = began ? RunState::kRunning : RunState::kQueued;
    if (!ended) report.reason = "Slurm does not answer";
    return;
  }
  const Phase phase = phase_of(task.state);
  if (phase == Phase::kWaiting) {
    report.state = RunState::kQueued;
    report.reason = waiting_reason(report, task, began);
  } else if (phase == Phase::kActive) {
    // An interrupted attempt may be on its way back into the queue; its trace stays until the next one begins.
    if (ended && report.ending->state != RunState::kInterrupted) return;
    report.state = RunState::kRunning;
    report.reason = "";
  } else if (!ended) {
    apply_end_without_trace(report, task, began);
  } else if (report.state == RunState::kInterrupted && !task.state.empty() && state_words().contains(task.state)) {
    report.reason = in_words(task);  // Slurm knows why it ended the task, which the task itself did not
  }
}

bool is_lost_to_cluster(const SlurmTask& task) {
  constexpr std::array<std::string_view, 4> lost{"NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "TIMEOUT"};
  return is_one_of(task.state, lost);
}

}  // namespace mneme::launch
