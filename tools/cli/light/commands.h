#pragma once

#include <vector>

#include "tools/cli/command.h"

namespace mneme::cli {

// One function per command of `mneme`; each is defined in light/<command>.cpp.
Command adapter_command();
Command complete_command();
Command completion_command();
Command config_command();
Command connectivity_command();
Command data_command();
Command metrics_command();
Command model_command();
Command plan_command();
Command plugins_command();
Command pretrain_command();
Command resume_command();
Command run_command();
Command status_command();
Command table_command();
Command tokenize_command();
Command version_command();

/// All of them, in the order of `mneme --help`.
std::vector<Command> all_commands();

}  // namespace mneme::cli
