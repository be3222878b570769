#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/config/compose.h"

namespace mneme::config {

/// The value below nested maps of text keys, or nullptr.
const Node* at_path(const Node& root, const std::vector<std::string>& keys);

/// Whether a dotted key is one of the settings that Hydra always has, such as "hydra.job.name".
bool is_hydra_setting(std::string_view key);

/// Holds Hydra's own settings against their types: hydra.mode is RUN or MULTIRUN, hydra.job.num a whole number, ….
/// Throws ConfigError with the position of the value.
void check_hydra_settings(const Node& hydra);

/// Whether Hydra's settings ask for a sweep.
bool is_multirun(const Node& hydra);

/// A warning for each setting that places runs in Hydra and has no meaning here: directories are never shared.
std::vector<std::string> directory_warnings(const Node& hydra);

/// Writes into Hydra's settings what Hydra itself writes there: overrides, choices, names.
/// \param name  of the primary config
void fill_hydra_runtime(Composition& composition, const std::string& name, const std::vector<Override>& overrides);

}  // namespace mneme::config
