#pragma once

#include <filesystem>
#include <vector>

#include "core/config/compose.h"

namespace mneme::cli {

/// Directory of what Mneme brings beside its programs: conf/, benchmarks/, models/.
std::filesystem::path share_directory();

/// Where config groups come from, in order: the config groups that Mneme brings; the streams of each benchmark suite
/// (group `stream`); the settings of strategies (group `strategy`) in the given directories, those of
/// $MNEME_PLUGIN_PATH and the installed ones.
std::vector<config::SearchRoot> search_path(const std::vector<std::filesystem::path>& plugin_directories = {});

}  // namespace mneme::cli
