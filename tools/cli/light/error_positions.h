#pragma once

#include <string>

#include "core/config/plan.h"

namespace mneme::cli {

/// The full program knows keys, not files. Each line "run ID: KEY: what" gets the position where that run's KEY was
/// written in front, as config errors have it; other lines stay as they are.
std::string with_positions(const std::string& messages, const config::Plan& plan);

}  // namespace mneme::cli
