#pragma once

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <string_view>

namespace mneme::test {

/// A fresh directory below the system's temporary one, removed with everything in it on scope exit.
class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(std::string_view purpose)
      : path_(std::filesystem::temp_directory_path() / fmt::format("mneme-{}-{}", purpose, ::getpid())) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace mneme::test
