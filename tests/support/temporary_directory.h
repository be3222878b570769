#pragma once

#include <fmt/format.h>
#include <stdlib.h>

#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>

namespace mneme::test {

/// A fresh directory below the system's temporary one, removed with everything in it on scope exit.
class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(std::string_view purpose = "test") {
    std::string pattern = (std::filesystem::temp_directory_path() / fmt::format("mneme-{}-XXXXXX", purpose)).string();
    if (!::mkdtemp(pattern.data())) throw std::runtime_error("cannot create " + pattern);
    path_ = pattern;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace mneme::test
