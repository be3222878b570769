#pragma once

#include "tools/cli/command.h"

namespace mneme::cli {

// One function per command of `mneme-run`; each is defined in full/<command>.cpp.
Command plugins_command();

}  // namespace mneme::cli
