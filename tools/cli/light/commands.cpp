#include "tools/cli/light/commands.h"

namespace mneme::cli {

std::vector<Command> all_commands() {
  return {run_command(),      plan_command(),     data_command(),     metrics_command(),      model_command(),
          plugins_command(),  pretrain_command(), table_command(),    connectivity_command(), status_command(),
          resume_command(),   adapter_command(),  tokenize_command(), config_command(),       completion_command(),
          complete_command(), version_command()};
}

}  // namespace mneme::cli
