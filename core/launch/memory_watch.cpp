#include "core/launch/memory_watch.h"

#include <fstream>
#include <sstream>
#include <string>

namespace mneme::launch {
namespace fs = std::filesystem;

namespace {

/// The files with an oom_kill counter for this process: cgroup 2, cgroup 1, then the whole machine.
std::vector<fs::path> counter_files() {
  std::ifstream in("/proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    const auto second = line.find(':', line.find(':') + 1);
    if (second == line.npos) continue;
    const bool unified = line.starts_with("0::");
    const bool memory = line.substr(0, second).find(":memory") != line.npos;
    if (!unified && !memory) continue;
    const fs::path root = unified ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
    const char* name = unified ? "memory.events" : "memory.oom_control";
    // Inside a container the path of the host is not visible: its own group is the root.
    for (const fs::path& file : {fs::path(root.string() + line.substr(second + 1)) / name, root / name}) {
      if (fs::exists(file)) return {file};
    }
  }
  return {"/proc/vmstat"};
}

}  // namespace

MemoryWatch::MemoryWatch() : files_(counter_files()) {}

std::int64_t MemoryWatch::kills() const {
  std::int64_t total = 0;
  for (const auto& file : files_) {
    std::ifstream in(file);
    std::string key;
    for (std::int64_t value = 0; in >> key >> value;) {
      if (key == "oom_kill") total += value;
    }
  }
  return total;
}

}  // namespace mneme::launch
