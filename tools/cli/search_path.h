#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/config/compose.h"

namespace mneme::cli {

/// Where config groups are looked for behind a primary file's own directories, in this order: the directories of
/// --plugin-path and of MNEME_PLUGIN_PATH (separated by ':'), PREFIX/lib/mneme/strategies (all as the group
/// `strategy`), PREFIX/share/mneme/conf, and every directory of PREFIX/share/mneme/benchmarks (as the group `stream`).
/// PREFIX is the directory above the program's bin/. Directories that do not exist are left out. \param plugin_path
/// what --plugin-path was given, directories separated by ':'
std::vector<config::SearchRoot> config_search_path(const std::string& plugin_path = "");

}  // namespace mneme::cli
