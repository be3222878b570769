#include "core/base/build_info.h"

#include <fstream>

namespace mneme {

const BuildInfo& build_info() {
#if defined(__clang__)
  static const BuildInfo info{MNEME_VERSION, MNEME_GIT_COMMIT, "clang " __clang_version__};
#else
  static const BuildInfo info{MNEME_VERSION, MNEME_GIT_COMMIT, "g++ " __VERSION__};
#endif
  return info;
}

std::string cpu_name() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    if (line.rfind("model name", 0) != 0) continue;
    const auto colon = line.find(": ");
    return colon == line.npos ? "" : line.substr(colon + 2);
  }
  return "";
}

}  // namespace mneme
