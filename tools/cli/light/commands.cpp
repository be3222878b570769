#include "tools/cli/light/commands.h"

namespace mneme::cli {

std::vector<Command> all_commands() {
  return {run_command(),      plan_command(),       data_command(),     metrics_command(), plugins_command(),
          pretrain_command(), table_command(),      status_command(),   resume_command(),  adapter_command(),
          config_command(),   completion_command(), complete_command(), version_command()};
}

}  // namespace mneme::cli
