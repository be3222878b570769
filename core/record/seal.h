#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace mneme::record {

/// A record on disk is an HDF5 image behind a seal: a block of 512 bytes, which HDF5 passes over, with the SHA-256 of
/// the image. HDF5 does not survive every damaged file, so it is given only what is whole. Both throw RecordError.

/// Replaces the file as a whole.
void write_sealed(const std::filesystem::path& path, std::string_view image);

/// The image. That of a file without a seal, from an older or another program, is taken as it is.
std::string read_sealed(const std::filesystem::path& path);

}  // namespace mneme::record
