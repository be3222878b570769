#include "core/record/seal.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/hash.h"

namespace mneme::record {
namespace fs = std::filesystem;

namespace {
constexpr std::size_t kBlock = 512;  // the smallest user block that HDF5 allows
constexpr std::string_view kTitle = "mneme-run: an HDF5 file from byte 512 on, whose SHA-256 is\n";
constexpr std::string_view kHdf5 = "\x89HDF\r\n\x1a\n";

std::string seal_of(std::string_view image) {
  std::string block = fmt::format("{}{}\n", kTitle, sha256_hex(image));
  block.resize(kBlock, '\0');
  return block;
}
}  // namespace

void write_sealed(const fs::path& path, std::string_view image) {
  std::string bytes = seal_of(image);
  bytes += image;
  try {
    write_file_atomically(path, bytes);
  } catch (const Error& error) {
    throw RecordError(error.message());
  }
}

std::string read_sealed(const fs::path& path) {
  std::string bytes;
  try {
    bytes = read_file(path);
  } catch (const Error& error) {
    throw RecordError(error.message());
  }
  if (bytes.starts_with(kHdf5)) return bytes;
  if (!bytes.starts_with(kTitle.substr(0, bytes.size())))
    throw RecordError(
        fmt::format("{}: is no run record: it begins neither with a record's seal nor as an HDF5 file", path.string()));
  const std::string_view image = std::string_view(bytes).substr(std::min(kBlock, bytes.size()));
  if (std::string_view(bytes).substr(0, kBlock) != seal_of(image))
    throw RecordError(
        fmt::format("{}: the record is cut or damaged: its {} bytes do not have the SHA-256 that its seal "
                    "states; take it from a copy, or run it again",
                    path.string(), bytes.size()));
  return bytes.substr(kBlock);
}

}  // namespace mneme::record
