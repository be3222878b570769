#include "core/launch/sweep_directory.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/launch/half_written.h"

namespace mneme::launch {
namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

namespace {

Json to_json(const RunEntry& run) {
  return {{"id", run.id},
          {"index", run.index},
          {"overrides", run.overrides},
          {"status", to_string(run.state)},
          {"attempts", run.attempts},
          {"seconds", run.seconds},
          {"reason", run.reason}};
}

void write_runs(const fs::path& directory, const std::vector<RunEntry>& runs) {
  Json list = Json::array();
  for (const auto& run : runs) list.push_back(to_json(run));
  write_file_atomically(directory / "runs.json", list.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
}

RunEntry to_entry(const Json& json, std::size_t index) {
  RunEntry run;
  run.id = json.at("id").get<std::string>();
  run.index = index;
  run.overrides = json.at("overrides").get<std::vector<std::string>>();
  run.state = parse_state(json.at("status").get<std::string>()).value_or(RunState::kPending);
  run.attempts = json.value("attempts", 0);
  run.seconds = json.value("seconds", 0.0);
  run.reason = json.value("reason", std::string{});
  return run;
}

void make_directories(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) throw Error(fmt::format("{}: cannot be created: {}", path.string(), error.message()));
}

/// \param target where the sweep will lie once it is published
void write_run(const fs::path& directory, const fs::path& target, const RunFiles& run) {
  const fs::path home = directory / run.id;
  const auto write = [&](const std::string& name, const std::string& content) {
    make_directories((home / name).parent_path());
    write_file_atomically(home / name, content);
  };
  make_directories(home);
  for (const auto& [name, content] : run.files) write(name, content);
  for (const auto& [name, content_at] : run.placed_files) write(name, content_at(target / run.id));
}

void check_ids(const SweepFiles& sweep) {
  if (sweep.runs.empty()) throw Error("the sweep has no runs: check its ranges, globs and filters");
  std::set<std::string> seen;
  for (const auto& run : sweep.runs) {
    if (!seen.insert(run.id).second) {
      throw Error(fmt::format("two runs of the sweep are the same (id {}): {}", run.id, fmt::join(run.overrides, " ")));
    }
  }
}

/// Writes a whole sweep below an existing directory; runs.json last, which makes it a sweep.
void write_sweep(const fs::path& directory, const fs::path& target, const SweepFiles& sweep) {
  write_file_atomically(directory / "sweep.yaml", sweep.sweep_yaml);
  write_file_atomically(directory / ".mneme" / "settings.json", sweep.settings_json);
  std::vector<RunEntry> entries;
  for (const auto& run : sweep.runs) {
    write_run(directory, target, run);
    RunEntry entry;
    entry.id = run.id;
    entry.index = entries.size();
    entry.overrides = run.overrides;
    entries.push_back(std::move(entry));
  }
  write_runs(directory, entries);
}

constexpr std::string_view kStaging = ".mneme-new-";

/// Removes what launchers that were killed while they made a sweep left beside it.
void remove_stale_staging(const fs::path& parent) {
  const auto old = fs::file_time_type::clock::now() - std::chrono::minutes(1);  // a new one may not have its lock yet
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(parent, ignored)) {
    if (!entry.path().filename().string().starts_with(kStaging) || entry.last_write_time(ignored) > old) continue;
    if (!lock_holder(entry.path() / ".mneme" / "lock")) fs::remove_all(entry.path(), ignored);
  }
}

/// A directory in the making; removed on scope exit unless released.
class Staging {
 public:
  explicit Staging(const fs::path& target) {
    remove_stale_staging(target.parent_path());
    std::string pattern = (target.parent_path() / kStaging).string() + "XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) {
      throw Error(fmt::format("{}: cannot be created: {}; choose another place with --out DIR", target.string(),
                              std::strerror(errno)));
    }
    ::chmod(pattern.c_str(), 0755);
    path_ = pattern;
  }
  ~Staging() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
  const fs::path& path() const { return path_; }
  void release() { path_.clear(); }

 private:
  fs::path path_;
};

[[noreturn]] void throw_not_empty(const fs::path& directory) {
  if (fs::exists(directory / "runs.json")) {
    throw Error(
        fmt::format("{}: holds a sweep already; go on with it by 'mneme resume {}', add runs to it by --extend, "
                    "or choose another --out",
                    directory.string(), directory.string()));
  }
  throw Error(fmt::format("{}: exists and is not an empty directory; choose another --out", directory.string()));
}

/// Moves a finished staging directory over a path that is absent or an empty directory. False if it is taken by now.
bool publish(const fs::path& staged, const fs::path& target) {
  if (::rename(staged.c_str(), target.c_str()) == 0) return true;
  const int code = errno;
  if (code == ENOTEMPTY || code == EEXIST || code == ENOTDIR) return false;
  throw Error(fmt::format("{}: cannot be created: {}", target.string(), std::strerror(code)));
}

/// Whether DIR exists and cannot be replaced by a rename: a mount point, a current directory, in a parent without write
/// permission.
bool must_fill_in_place(const fs::path& target) {
  struct stat own {
  }, above{};
  if (::stat(target.c_str(), &own) != 0) return false;
  const fs::path parent = target.parent_path();
  if (::stat(parent.c_str(), &above) != 0 || own.st_dev != above.st_dev || ::access(parent.c_str(), W_OK) != 0)
    return true;
  std::error_code ignored;
  return fs::equivalent(target, fs::current_path(), ignored);
}

/// Sweeps directly or two levels below, newest name last.
std::vector<std::string> sweeps_below(const fs::path& directory) {
  std::vector<std::string> found;
  std::error_code ignored;
  for (auto it = fs::recursive_directory_iterator(directory, fs::directory_options::skip_permission_denied, ignored);
       it != fs::recursive_directory_iterator(); it.increment(ignored)) {
    if (ignored) break;
    if (it->path().filename() == "runs.json") found.push_back(it->path().parent_path().string());
    if (it.depth() >= 2) it.disable_recursion_pending();
  }
  std::sort(found.begin(), found.end());
  return found;
}

/// Serialises rewrites of runs.json between processes.
class RunsGuard {
 public:
  explicit RunsGuard(const fs::path& directory)
      : fd_(::open((directory / ".mneme" / "runs.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
    if (fd_ >= 0) {
      while (::flock(fd_, LOCK_EX) != 0 && errno == EINTR) {
      }
    }
  }
  ~RunsGuard() {
    if (fd_ >= 0) ::close(fd_);
  }
  RunsGuard(const RunsGuard&) = delete;
  RunsGuard& operator=(const RunsGuard&) = delete;

 private:
  int fd_;
};

}  // namespace

std::string RunEntry::label() const {
  const auto& shown = distinct.empty() ? overrides : distinct;
  return shown.empty() ? "(no overrides)" : fmt::format("{}", fmt::join(shown, " "));
}

SweepDirectory SweepDirectory::create(const fs::path& directory, const SweepFiles& sweep) {
  check_ids(sweep);
  fs::path target = fs::absolute(directory).lexically_normal();
  if (!target.has_filename()) target = target.parent_path();
  std::error_code ignored;
  if (fs::exists(target) && !(fs::is_directory(target) && fs::is_empty(target, ignored))) throw_not_empty(directory);
  SweepDirectory result(directory);
  if (must_fill_in_place(target)) {
    result.fill_in_place(target, sweep);
  } else {
    make_directories(target.parent_path());
    Staging staging(target);
    make_directories(staging.path() / ".mneme");
    result.lock_.emplace(staging.path() / ".mneme" / "lock");  // held from before the sweep can be seen
    write_sweep(staging.path(), target, sweep);
    if (!publish(staging.path(), target)) throw_not_empty(directory);
    staging.release();
  }
  result.read_runs();
  return result;
}

void SweepDirectory::fill_in_place(const fs::path& target, const SweepFiles& sweep) {
  if (::mkdir((target / ".mneme").c_str(), 0755) != 0) {  // the claim: only one of several launchers succeeds
    if (errno == EEXIST) throw_not_empty(path_);
    throw Error(fmt::format("{}: cannot be written: {}", target.string(), std::strerror(errno)));
  }
  try {
    lock_.emplace(target / ".mneme" / "lock");
    write_sweep(target, target, sweep);
  } catch (...) {
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(target, ignored)) fs::remove_all(entry.path(), ignored);
    throw;
  }
}

SweepDirectory SweepDirectory::create_dated(const fs::path& parent, const SweepFiles& sweep) {
  check_ids(sweep);
  make_directories(parent);
  const std::string stamp = fmt::format("{:%Y-%m-%d_%H-%M-%S}", fmt::localtime(std::time(nullptr)));
  for (int suffix = 0;; ++suffix) {
    const fs::path candidate = parent / (suffix == 0 ? stamp : fmt::format("{}-{}", stamp, suffix));
    // mkdir decides who gets the name; create() then fills the empty directory in one step.
    if (::mkdir(candidate.c_str(), 0755) == 0) {
      try {
        return create(candidate, sweep);
      } catch (...) {
        ::rmdir(candidate.c_str());
        throw;
      }
    }
    if (errno != EEXIST) {
      throw Error(fmt::format("{}: cannot be created: {}; choose another place with --out DIR", candidate.string(),
                              std::strerror(errno)));
    }
  }
}

SweepDirectory SweepDirectory::open(const fs::path& directory) {
  if (!fs::exists(directory))
    throw Error(fmt::format("{}: does not exist; expected a sweep's directory", directory.string()));
  if (!fs::exists(directory / "runs.json")) {
    const auto below = sweeps_below(directory);
    throw Error(fmt::format("{}: is not a sweep's directory: it has no runs.json{}", directory.string(),
                            below.empty() ? "" : fmt::format("; the latest sweep below it is {}", below.back())));
  }
  SweepDirectory result(directory);
  result.read_runs();
  return result;
}

SweepDirectory SweepDirectory::open_locked(const fs::path& directory) {
  SweepDirectory result = open(directory);
  make_directories(directory / ".mneme");
  result.lock_.emplace(result.lock_path());
  {
    const RunsGuard guard(result.path_);  // nobody is writing runs.json now
    remove_half_written(result.path_, false);
  }
  result.read_runs();
  return result;
}

std::size_t SweepDirectory::extend(const SweepFiles& sweep) {
  check_ids(sweep);
  const RunsGuard guard(path_);
  read_runs();
  std::set<std::string> known;
  for (const auto& run : runs_) known.insert(run.id);
  std::vector<RunEntry> entries = runs_;
  for (const auto& run : sweep.runs) {
    if (known.contains(run.id)) continue;
    write_run(path_, fs::absolute(path_).lexically_normal(), run);
    RunEntry entry;
    entry.id = run.id;
    entry.index = entries.size();
    entry.overrides = run.overrides;
    entries.push_back(std::move(entry));
  }
  int number = 1;
  while (fs::exists(path_ / ".mneme" / fmt::format("sweep-{}.yaml", number))) ++number;
  const std::string former = read_file(path_ / "sweep.yaml");
  if (former != sweep.sweep_yaml) {
    write_file_atomically(path_ / ".mneme" / fmt::format("sweep-{}.yaml", number), former);
    write_file_atomically(path_ / "sweep.yaml", sweep.sweep_yaml);
  }
  write_file_atomically(path_ / ".mneme" / "settings.json", sweep.settings_json);
  const std::size_t added = entries.size() - runs_.size();
  write_runs(path_, entries);
  read_runs();
  return added;
}

void SweepDirectory::set_settings(const std::string& json) const {
  write_file_atomically(path_ / ".mneme" / "settings.json", json);
}

std::string SweepDirectory::settings_json() const { return read_file(path_ / ".mneme" / "settings.json"); }

void SweepDirectory::update(const RunEntry& run) { update(std::vector<RunEntry>{run}); }

void SweepDirectory::update(const std::vector<RunEntry>& runs) {
  const RunsGuard guard(path_);
  read_runs();
  for (const auto& run : runs) {
    MNEME_CHECK(run.index < runs_.size() && runs_[run.index].id == run.id, "run {} is not entry {} of {}", run.id,
                run.index, path_.string());
    runs_[run.index] = run;
  }
  write_runs(path_, runs_);
}

void SweepDirectory::read_runs() {
  const fs::path file = path_ / "runs.json";
  std::vector<RunEntry> entries;
  try {
    const Json list = Json::parse(read_file(file));
    for (const auto& item : list) entries.push_back(to_entry(item, entries.size()));
  } catch (const Json::exception& e) {
    throw Error(fmt::format("{}: is not the list of runs that mneme writes: {}", file.string(), e.what()));
  }
  std::map<std::string, std::size_t> runs_with;
  for (const auto& run : entries) {
    for (const auto& override : run.overrides) ++runs_with[override];
  }
  for (auto& run : entries) {
    for (const auto& override : run.overrides) {
      if (runs_with[override] < entries.size()) run.distinct.push_back(override);
    }
  }
  runs_ = std::move(entries);
}

}  // namespace mneme::launch
