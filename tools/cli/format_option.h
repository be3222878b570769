#pragma once

#include "tools/cli/command.h"

namespace mneme::cli {

/// Takes "--format X" or "--format=X" out of the arguments. \return whether X, text or json, is json. Throws
/// UsageError.
bool take_json_format(Arguments& arguments);

}  // namespace mneme::cli
