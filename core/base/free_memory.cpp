#include "core/base/free_memory.h"

#include <algorithm>
#include <fstream>
#include <string>

namespace mneme {

namespace {

/// The number that a file of a line holds; -1 where there is no file, or a word.
std::int64_t number_in(const char* file) {
  std::ifstream in(file);
  std::int64_t value = -1;
  return in >> value ? value : -1;
}

std::int64_t available() {
  std::ifstream in("/proc/meminfo");
  std::string key, unit;
  for (std::int64_t value = 0; in >> key >> value; std::getline(in, unit)) {
    if (key == "MemAvailable:") return value * 1024;
  }
  return 0;
}

}  // namespace

std::int64_t free_memory() {
  const std::int64_t machine = available();
  const std::int64_t limit = number_in("/sys/fs/cgroup/memory.max"), used = number_in("/sys/fs/cgroup/memory.current");
  if (limit < 0 || used < 0) return machine;
  const std::int64_t group = std::max<std::int64_t>(0, limit - used);
  return machine > 0 ? std::min(machine, group) : group;
}

}  // namespace mneme
