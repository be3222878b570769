#include "core/launch/half_written.h"

#include <string>
#include <system_error>

namespace mneme::launch {
namespace fs = std::filesystem;

namespace {

bool is_number(const std::string& extension) {
  return extension.size() > 1 && extension.find_first_not_of("0123456789", 1) == extension.npos;
}

/// NAME.PID.THREAD.tmp, as write_file_atomically() names them.
bool is_temporary(const fs::path& file) {
  const fs::path stem = file.stem();
  return file.extension() == ".tmp" && is_number(stem.extension()) && is_number(stem.stem().extension());
}

}  // namespace

std::vector<fs::path> half_written(const fs::path& directory, bool below) {
  std::vector<fs::path> found;
  std::error_code gone;  // files come and go while a live process works here
  auto it = fs::recursive_directory_iterator(directory, gone);
  for (; it != fs::recursive_directory_iterator(); it.increment(gone)) {
    if (!below) it.disable_recursion_pending();
    if (is_temporary(it->path())) found.push_back(it->path());
  }
  return found;
}

void remove_half_written(const fs::path& directory, bool below) {
  for (const fs::path& file : half_written(directory, below)) fs::remove(file);
}

}  // namespace mneme::launch
