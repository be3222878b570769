#pragma once

#include "tools/cli/command.h"

namespace mneme::cli {

// One function per command of `mneme-run`; each is defined in full/<command>.cpp.
Command model_command();
Command plugins_command();
Command pretrain_command();
Command run_command();
Command validate_command();

/// Exit codes of `mneme-run run` for a run whose loss left the finite numbers, and for one that a signal stopped.
constexpr int kDiverged = 3, kStopped = 130;

}  // namespace mneme::cli
