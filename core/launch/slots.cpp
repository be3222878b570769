#include "core/launch/slots.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>
#include <utility>

#include "core/base/error.h"
#include "core/base/free_memory.h"

namespace mneme::launch {
namespace fs = std::filesystem;

namespace {

template <class T>
std::optional<T> read_value(const fs::path& path) {
  std::ifstream in(path);
  T value{};
  if (in >> value) return value;
  return std::nullopt;
}

/// CPUs of this process's mask, grouped by physical core, cores of one package together.
std::vector<std::vector<int>> usable_cores() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  std::map<std::pair<int, int>, std::vector<int>> by_core;
  if (::sched_getaffinity(0, sizeof mask, &mask) != 0) return {{0}};
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &mask)) continue;
    const fs::path topology = fmt::format("/sys/devices/system/cpu/cpu{}/topology", cpu);
    const int package = read_value<int>(topology / "physical_package_id").value_or(0);
    const int core = read_value<int>(topology / "core_id").value_or(cpu);
    by_core[{package, core}].push_back(cpu);
  }
  std::vector<std::vector<int>> cores;
  for (auto& [key, cpus] : by_core) cores.push_back(std::move(cpus));
  return cores;
}

/// CPUs that the cgroup's quota amounts to, infinity without one (cgroup 2, then 1).
double cpu_quota() {
  std::ifstream two("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (two >> quota >> period && quota != "max" && period > 0) return std::stod(quota) / period;
  const auto one = read_value<double>("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  const auto every = read_value<double>("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  if (one && every && *one > 0 && *every > 0) return *one / *every;
  return INFINITY;
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) {
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

/// Devices that this process may use: CUDA_VISIBLE_DEVICES where set, else every /dev/nvidiaN.
std::vector<std::string> usable_gpus() {
  if (const char* visible = std::getenv("CUDA_VISIBLE_DEVICES")) return split(visible, ',');
  std::vector<std::string> gpus;
  for (int i = 0; fs::exists(fmt::format("/dev/nvidia{}", i)); ++i) gpus.push_back(std::to_string(i));
  return gpus;
}

/// The devices that the options ask for, of those that are there.
std::vector<std::string> wanted_gpus(const LauncherOptions& options, const Machine& machine) {
  if (options.all_gpus) {
    if (machine.gpus.empty()) throw ConfigError("launcher.gpus: all asks for this machine's GPUs, but it shows none");
    return machine.gpus;
  }
  if (options.gpus.size() > machine.gpus.size()) {
    throw ConfigError(fmt::format("launcher.gpus: {} asked for, but this machine shows {}{}", options.gpus.size(),
                                  machine.gpus.size(),
                                  std::getenv("CUDA_VISIBLE_DEVICES") ? " (by CUDA_VISIBLE_DEVICES)" : ""));
  }
  std::vector<std::string> gpus;
  const bool inherited = std::getenv("CUDA_VISIBLE_DEVICES") != nullptr;
  for (const auto& id : options.gpus) {
    // Numbers count within what this process may see, as CUDA itself counts.
    const bool number =
        !id.empty() && std::all_of(id.begin(), id.end(), [](unsigned char c) { return std::isdigit(c); });
    const std::size_t position = number ? std::stoul(id) : 0;
    if (number && position >= machine.gpus.size()) {
      throw ConfigError(
          fmt::format("launcher.gpus: device {} asked for, but this machine shows {}", id, machine.gpus.size()));
    }
    gpus.push_back(number && inherited ? machine.gpus[position] : id);
  }
  return gpus;
}

/// Jobs that were asked for, or that the GPUs, the threads per run and the memory allow.
int choose_jobs(const LauncherOptions& options, const Machine& machine, std::size_t gpus,
                std::vector<std::string>& warnings) {
  const int cores = static_cast<int>(machine.cores.size());
  const int per_gpu = static_cast<int>(gpus) * options.runs_per_gpu;
  int jobs = options.jobs;
  if (jobs == 0) {
    // Four threads are where a small model stops to gain; more runs side by side use the rest better.
    constexpr int kUsefulThreads = 4;
    jobs = gpus > 0 ? per_gpu : std::max(1, cores / (options.threads > 0 ? options.threads : kUsefulThreads));
  }
  const auto limit = [&](int most, const std::string& why) {
    if (jobs <= most) return;
    if (options.jobs > 0)
      warnings.push_back(fmt::format("{} jobs asked for, {} at a time started: {}", jobs, most, why));
    jobs = most;
  };
  limit(std::max(1, cores / std::max(1, options.threads)),
        fmt::format("{} cores, {} thread(s) per run", cores, std::max(1, options.threads)));
  if (gpus > 0) limit(per_gpu, fmt::format("{} GPU(s), {} run(s) per GPU", gpus, options.runs_per_gpu));
  if (options.memory > 0 && machine.free_memory > 0) {
    limit(
        static_cast<int>(std::max<std::int64_t>(1, machine.free_memory / options.memory)),
        fmt::format("{} of memory free, {} per run", format_bytes(machine.free_memory), format_bytes(options.memory)));
  }
  return jobs;
}

/// Directory of lock files that all launchers of this user on this machine share.
fs::path reservation_directory() {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  const fs::path base = runtime != nullptr && *runtime != 0 ? fs::path(runtime) : fs::path("/tmp");
  return base / fmt::format("mneme-cores-{}", ::getuid());
}

}  // namespace

Machine detect_machine() {
  Machine machine;
  machine.cores = usable_cores();
  const double quota = cpu_quota();
  if (quota < static_cast<double>(machine.cores.size())) {
    machine.quota = true;
    machine.cores.resize(static_cast<std::size_t>(std::max(1.0, std::floor(quota))));
  }
  machine.gpus = usable_gpus();
  machine.load = read_value<double>("/proc/loadavg").value_or(0);
  machine.free_memory = free_memory();
  return machine;
}

std::vector<Slot> make_slots(const LauncherOptions& options, const Machine& machine, std::size_t runs,
                             std::vector<std::string>& warnings) {
  const auto gpus = wanted_gpus(options, machine);
  const int cores = static_cast<int>(machine.cores.size());
  const int jobs = choose_jobs(options, machine, gpus.size(), warnings);
  const int threads = options.threads > 0 ? options.threads : std::max(1, cores / jobs);
  if (threads > cores)
    warnings.push_back(fmt::format("{} threads per run on {} cores: runs will be slow", threads, cores));
  std::vector<Slot> slots(std::min(static_cast<std::size_t>(jobs), std::max<std::size_t>(1, runs)));
  for (std::size_t i = 0; i < slots.size(); ++i) {
    slots[i].index = static_cast<int>(i);
    slots[i].threads = threads;
    slots[i].memory = options.memory > 0 ? options.memory : machine.free_memory / std::ssize(slots);
    if (!gpus.empty()) slots[i].gpu = gpus[i % gpus.size()];
  }
  return slots;
}

CoreReservation::CoreReservation(const std::vector<std::vector<int>>& cores, std::size_t count) {
  const fs::path directory = reservation_directory();
  ::mkdir(directory.c_str(), 0700);
  for (std::size_t i = 0; i < cores.size() && cores_.size() < count; ++i) {
    const int fd =
        ::open((directory / std::to_string(cores[i].front())).c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) continue;
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
      ::close(fd);
      continue;
    }
    cores_.push_back(i);
    locks_.push_back(fd);
  }
  if (cores_.size() == count) return;
  for (const int fd : locks_) ::close(fd);
  locks_.clear();
  cores_.clear();
}

CoreReservation::~CoreReservation() {
  for (const int fd : locks_) ::close(fd);
}

bool may_pin(const LauncherOptions& options, const Machine& machine, const std::vector<Slot>& slots) {
  if (!options.pin || slots.size() < 2 || machine.quota) return false;
  const double wanted = static_cast<double>(slots.size()) * slots[0].threads;
  return machine.load + wanted < static_cast<double>(machine.cores.size()) + 1;
}

void pin_slots(std::vector<Slot>& slots, const Machine& machine, const CoreReservation& reservation) {
  std::size_t next = 0;
  for (auto& slot : slots) {
    if (next + static_cast<std::size_t>(slot.threads) > reservation.cores().size()) return;
    for (int i = 0; i < slot.threads; ++i) {
      const auto& cpus = machine.cores[reservation.cores()[next++]];
      slot.cpus.insert(slot.cpus.end(), cpus.begin(), cpus.end());
    }
  }
}

std::vector<std::pair<std::string, std::string>> slot_environment(const Slot& slot) {
  const std::string threads = std::to_string(slot.threads);
  std::vector<std::pair<std::string, std::string>> result{
      {"OMP_NUM_THREADS", threads}, {"MKL_NUM_THREADS", threads}, {"OPENBLAS_NUM_THREADS", threads}};
  if (slot.gpu) result.emplace_back("CUDA_VISIBLE_DEVICES", *slot.gpu);
  if (slot.memory > 0) result.emplace_back("MNEME_MEMORY_LIMIT", std::to_string(slot.memory));
  return result;
}

}  // namespace mneme::launch
