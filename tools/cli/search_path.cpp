#include "tools/cli/search_path.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "core/base/file.h"

namespace mneme::cli {
namespace fs = std::filesystem;

namespace {
/// Directories directly below, sorted by name; none if there is no such directory.
std::vector<fs::path> directories_in(const fs::path& parent) {
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(parent, error)) {
    if (entry.is_directory()) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}
}  // namespace

fs::path share_directory() { return (program_directory() / "../share/mneme").lexically_normal(); }

std::vector<config::SearchRoot> search_path(const std::vector<fs::path>& plugin_directories) {
  std::vector<config::SearchRoot> roots{{share_directory() / "conf", ""}};
  for (const fs::path& suite : directories_in(share_directory() / "benchmarks")) roots.push_back({suite, "stream"});
  for (const fs::path& directory : plugin_directories) roots.push_back({directory, "strategy"});
  const char* variable = std::getenv("MNEME_PLUGIN_PATH");
  std::string_view rest = variable == nullptr ? "" : variable;
  while (!rest.empty()) {
    const auto end = std::min(rest.find(':'), rest.size());
    if (end > 0) roots.push_back({rest.substr(0, end), "strategy"});
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  roots.push_back({(program_directory() / "../lib/mneme/strategies").lexically_normal(), "strategy"});
  return roots;
}

}  // namespace mneme::cli
