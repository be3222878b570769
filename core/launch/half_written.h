#pragma once

#include <filesystem>
#include <vector>

namespace mneme::launch {

/// The temporary files directly in a directory, or also below it, that a process killed in the middle of
/// write_file_atomically() left behind, or that a live one is about to rename.
std::vector<std::filesystem::path> half_written(const std::filesystem::path& directory, bool below);

/// Removes them; to be called only where nobody writes.
void remove_half_written(const std::filesystem::path& directory, bool below);

}  // namespace mneme::launch
