#include "tools/cli/search_path.h"

#include <algorithm>
#include <cstdlib>

#include "core/base/file.h"

namespace mneme::cli {

namespace fs = std::filesystem;

namespace {
std::vector<fs::path> split(const std::string& list) {
  std::vector<fs::path> paths;
  for (std::size_t i = 0; i <= list.size();) {
    const std::size_t end = std::min(list.find(':', i), list.size());
    if (end > i) paths.emplace_back(list.substr(i, end - i));
    i = end + 1;
  }
  return paths;
}

bool directory_exists(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}
}  // namespace

std::vector<config::SearchRoot> config_search_path(const std::string& plugin_path) {
  std::vector<config::SearchRoot> roots;
  const auto add = [&roots](const fs::path& directory, const std::string& mount) {
    if (directory_exists(directory)) roots.push_back({directory, mount});
  };
  for (const fs::path& directory : split(plugin_path)) add(directory, "strategy");
  if (const char* list = std::getenv("MNEME_PLUGIN_PATH"))
    for (const fs::path& directory : split(list)) add(directory, "strategy");
  const fs::path prefix = program_directory().parent_path();
  add(prefix / "lib/mneme/strategies", "strategy");
  const fs::path share = prefix / "share/mneme";
  add(share / "conf", "");
  std::vector<fs::path> suites;
  std::error_code error;
  for (fs::directory_iterator entry(share / "benchmarks", error), end; !error && entry != end; entry.increment(error))
    suites.push_back(entry->path());
  std::sort(suites.begin(), suites.end());
  for (const fs::path& suite : suites) add(suite, "stream");
  return roots;
}

}  // namespace mneme::cli
