#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "core/launch/run_process.h"

namespace mneme::launch {

/// Has the full program check every run before anything is started: parameters of plugins, data files, models.
/// \param runs id and resolved config as JSON.
/// \return what it prints: a JSON list of facts per run in the same order, such as predicted memory; "[]" if it has
/// none. Throws ConfigError with the program's messages if a run is wrong, Error if the program cannot be started or
/// crashes.
std::string validate_runs(const Runner& runner, const std::vector<std::pair<std::string, std::string>>& runs);

}  // namespace mneme::launch
