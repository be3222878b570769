#pragma once

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "core/base/file.h"

namespace mneme::test {

/// Text of tests/golden/<name>. With MNEME_APPROVE=1 in the environment `found` becomes that text first: run the test
/// so once, and review the difference with git.
inline std::string golden(const std::string& name, const std::string& found) {
  const std::filesystem::path path = std::filesystem::path(MNEME_SOURCE_DIR) / "tests/golden" / name;
  if (const char* approve = std::getenv("MNEME_APPROVE"); approve != nullptr && std::string(approve) == "1") {
    std::filesystem::create_directories(path.parent_path());
    write_file_atomically(path, found);
  }
  return read_file(path);
}

}  // namespace mneme::test
