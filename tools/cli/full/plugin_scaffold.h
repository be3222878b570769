#pragma once

#include <filesystem>
#include <string>

namespace mneme::cli {

/// Writes the files of a new strategy plugin into a new directory: NAME.cpp, NAME.yaml, CMakeLists.txt and, inside a
/// checkout of Mneme, NAME_test.cpp. Throws Error if the name is no strategy name or the directory is not empty.
void write_plugin_scaffold(const std::string& name, const std::filesystem::path& directory);

}  // namespace mneme::cli
