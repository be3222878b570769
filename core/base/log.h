#pragma once

#include <spdlog/spdlog.h>

#include <string>

namespace mneme {

/// Sends the default logger to standard error and, if given, to a file as well.
/// Level from $MNEME_LOG (trace, debug, info, warn, error); default info.
void init_logging(const std::string& file = "");

}  // namespace mneme
