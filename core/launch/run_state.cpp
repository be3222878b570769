#include "core/launch/run_state.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/record/reader.h"

namespace mneme::launch {
namespace fs = std::filesystem;
using Json = nlohmann::json;

namespace {

constexpr std::array<std::pair<RunState, std::string_view>, 7> kNames{{{RunState::kPending, "pending"},
                                                                       {RunState::kQueued, "queued"},
                                                                       {RunState::kRunning, "running"},
                                                                       {RunState::kDone, "done"},
                                                                       {RunState::kFailed, "failed"},
                                                                       {RunState::kDiverged, "diverged"},
                                                                       {RunState::kInterrupted, "interrupted"}}};

/// The file as a JSON object, or nothing if it is absent or not whole.
std::optional<Json> read_object(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  Json json = Json::parse(in, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  return json;
}

/// The member if it is there and has the wanted type, else the fallback: these files may come from another version.
template <class T>
T member(const Json& object, const char* key, T fallback) {
  const auto it = object.find(key);
  if (it == object.end()) return fallback;
  if constexpr (std::is_same_v<T, std::string>) {
    return it->is_string() ? it->get<std::string>() : fallback;
  } else {
    return it->is_number() ? it->get<T>() : fallback;
  }
}

std::string dump(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

RunState to_state(RunStatus status) {
  switch (status) {
    case RunStatus::kDone:
      return RunState::kDone;
    case RunStatus::kDiverged:
      return RunState::kDiverged;
    case RunStatus::kFailed:
      return RunState::kFailed;
    case RunStatus::kRunning:
      break;
  }
  return RunState::kRunning;
}

}  // namespace

std::string_view to_string(RunState state) {
  for (const auto& [value, name] : kNames) {
    if (value == state) return name;
  }
  return "";
}

std::optional<RunState> parse_state(std::string_view name) {
  for (const auto& [value, known] : kNames) {
    if (known == name) return value;
  }
  return std::nullopt;
}

bool is_final(RunState state) { return state == RunState::kDone || state == RunState::kDiverged; }

void write_attempt(const fs::path& run_directory, const Attempt& attempt) {
  const ProcessIdentity& process = attempt.process;
  write_file_atomically(run_directory / "process.json", dump({{"attempt", attempt.number},
                                                              {"pid", process.pid},
                                                              {"start_ticks", process.start_ticks},
                                                              {"place", process.place},
                                                              {"host", process.host},
                                                              {"started", attempt.started},
                                                              {"log_start", attempt.log_start},
                                                              {"job", attempt.job},
                                                              {"requeues", attempt.requeues}}));
}

std::optional<Attempt> read_attempt(const fs::path& run_directory) {
  const auto json = read_object(run_directory / "process.json");
  if (!json) return std::nullopt;
  Attempt attempt;
  attempt.number = member(*json, "attempt", 1);
  attempt.process = {member(*json, "pid", 0), member<std::uint64_t>(*json, "start_ticks", 0),
                     member<std::string>(*json, "place", ""), member<std::string>(*json, "host", "")};
  attempt.started = member<std::string>(*json, "started", "");
  attempt.log_start = member<std::int64_t>(*json, "log_start", 0);
  attempt.job = member<std::string>(*json, "job", "");
  attempt.requeues = member(*json, "requeues", 0);
  return attempt;
}

void write_ending(const fs::path& run_directory, const Ending& ending) {
  write_file_atomically(run_directory / "exit.json", dump({{"status", to_string(ending.state)},
                                                           {"reason", ending.reason},
                                                           {"exit_code", ending.exit_code},
                                                           {"signal", ending.signal},
                                                           {"seconds", ending.seconds},
                                                           {"peak_bytes", ending.peak_bytes},
                                                           {"finished", ending.finished}}));
}

std::optional<Ending> read_ending(const fs::path& run_directory) {
  const auto json = read_object(run_directory / "exit.json");
  if (!json) return std::nullopt;
  const auto state = parse_state(member<std::string>(*json, "status", ""));
  if (!state) return std::nullopt;
  Ending ending;
  ending.state = *state;
  ending.reason = member<std::string>(*json, "reason", "");
  ending.exit_code = member(*json, "exit_code", 0);
  ending.signal = member(*json, "signal", 0);
  ending.seconds = member(*json, "seconds", 0.0);
  ending.peak_bytes = member<std::int64_t>(*json, "peak_bytes", 0);
  ending.finished = member<std::string>(*json, "finished", "");
  return ending;
}

std::optional<Progress> read_progress(const fs::path& run_directory) {
  const auto json = read_object(run_directory / "progress.json");
  if (!json) return std::nullopt;
  Progress progress;
  progress.phase = member<std::string>(*json, "phase", "");
  progress.task = member<std::int64_t>(*json, "task", 0);
  progress.tasks = member<std::int64_t>(*json, "tasks", 0);
  progress.step = member<std::int64_t>(*json, "step", 0);
  progress.steps = member<std::int64_t>(*json, "steps", 0);
  progress.done = member(*json, "done", 0.0);
  progress.total = member(*json, "total", 0.0);
  progress.eta_seconds = member(*json, "eta_seconds", -1.0);
  progress.note = member<std::string>(*json, "note", "");
  return progress;
}

std::optional<Ending> recorded_ending(const fs::path& run_directory) {
  const fs::path file = run_directory / "run.h5";
  if (!fs::exists(file)) return std::nullopt;
  try {
    const record::Record record(file);
    Ending ending;
    ending.state = to_state(record.status());
    if (ending.state == RunState::kRunning) return std::nullopt;
    ending.reason = record.error();
    ending.finished = record.finished();
    ending.seconds = std::max(0.0, seconds_since_epoch(ending.finished) - seconds_since_epoch(record.started()));
    return ending;
  } catch (const RecordError&) {
    return std::nullopt;
  }
}

void prefer_finished_record(Ending& ending, const fs::path& run_directory) {
  if (is_final(ending.state)) return;
  const auto recorded = recorded_ending(run_directory);
  if (!recorded || !is_final(recorded->state)) return;
  ending.state = recorded->state;
  ending.reason = recorded->reason;
}

RunReport inspect_run(const fs::path& run_directory) {
  RunReport status;
  status.attempt = read_attempt(run_directory);
  if (!status.attempt) return status;
  status.progress = read_progress(run_directory);
  status.ending = read_ending(run_directory);
  if (status.ending) {
    prefer_finished_record(*status.ending, run_directory);
    status.state = status.ending->state;
    status.reason = status.ending->reason;
    return status;
  }
  const Liveness live = liveness(status.attempt->process);
  if (live == Liveness::kAlive) {
    status.state = RunState::kRunning;
    return status;
  }
  // Nobody saw it end. It may have finished all the same, in the moment before its launcher was killed.
  if (const auto recorded = recorded_ending(run_directory); recorded && is_final(recorded->state)) {
    status.state = recorded->state;
    status.reason = recorded->reason;
    status.ending = recorded;
  } else if (live == Liveness::kUnknown) {
    status.state = RunState::kRunning;
    status.reason = "on " + status.attempt->process.host;
  } else {
    status.state = RunState::kInterrupted;
    status.reason = "its process is gone and left no result";
  }
  return status;
}

std::vector<std::string> last_log_lines(const fs::path& run_directory, std::size_t lines) {
  std::ifstream in(run_directory / "run.log", std::ios::binary);
  if (!in) return {};
  const auto attempt = read_attempt(run_directory);
  in.seekg(0, std::ios::end);
  const auto size = static_cast<std::int64_t>(in.tellg());
  constexpr std::int64_t kWindow = 65536;  // a progress bar may have written megabytes
  in.seekg(std::max(size - kWindow, std::min(size, attempt ? attempt->log_start : 0)));
  std::vector<std::string> result;
  for (std::string line; std::getline(in, line);) {
    line.erase(0, line.find_last_of('\r', line.size() < 2 ? 0 : line.size() - 2) + 1);  // what a terminal would show
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (!line.empty()) result.push_back(std::move(line));
  }
  if (result.size() > lines) result.erase(result.begin(), result.end() - static_cast<std::ptrdiff_t>(lines));
  return result;
}

std::string utc_now() { return fmt::format("{:%FT%TZ}", fmt::gmtime(std::time(nullptr))); }

double seconds_since_epoch(const std::string& iso) {
  std::tm time{};
  if (::strptime(iso.c_str(), "%Y-%m-%dT%H:%M:%SZ", &time) == nullptr) return -1;
  return static_cast<double>(::timegm(&time));
}

}  // namespace mneme::launch
