#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace mneme {

/// Whole file as bytes. Throws Error naming the path.
std::string read_file(const std::filesystem::path& path);

/// Writes to a temporary file in the same directory and renames it: a reader sees the old content or the new, never
/// half. Throws Error naming the path and the reason.
void write_file_atomically(const std::filesystem::path& path, std::string_view content);

/// Read-only memory map of a whole file; an empty file maps to an empty span. Throws Error.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(data_), size_}; }

 private:
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Directory for caches: $MNEME_CACHE, else $XDG_CACHE_HOME/mneme, else ~/.cache/mneme. Not created here.
std::filesystem::path cache_directory();

/// Directory of the running program's file (…/bin).
std::filesystem::path program_directory();

}  // namespace mneme
