#pragma once

#include "tools/cli/command.h"

namespace mneme::cli {

// One function per command of `mneme`; each is defined in light/<command>.cpp.
Command adapter_command();
Command config_command();
Command connectivity_command();
Command data_command();
Command metrics_command();
Command plan_command();
Command plugins_command();
Command resume_command();
Command run_command();
Command status_command();
Command table_command();
Command tokenize_command();
Command version_command();

}  // namespace mneme::cli
