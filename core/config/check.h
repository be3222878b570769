#pragma once

#include <string>

#include "core/base/param_spec.h"
#include "core/config/node.h"

namespace mneme::config {

/// Checks a map against the settings that something reads: unknown keys (with the nearest known one), missing values,
/// types, ranges and choices. Dotted keys of a spec stand for nested maps. Throws ConfigError with the position and
/// full key of the first thing wrong. \param path  of the map, for messages ("strategy") \return the values in the
/// order of the specs, defaults filled in, whole numbers given as floats where a real is meant
Node check(const Node& map, const ParamSpecs& specs, const std::string& path);

/// The default of a setting as a node; null if it is required ("???").
Node default_value(const ParamSpec& spec);

}  // namespace mneme::config
