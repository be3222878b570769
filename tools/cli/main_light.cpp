#include "tools/cli/command.h"
#include "tools/cli/light/commands.h"
#include "tools/cli/light/config_groups.h"

int main(int argc, char** argv) {
  using namespace mneme::cli;
  return run_program("mneme", all_commands(), argc, argv, config_groups_help);
  return run_program("mneme",
                     {
                         run_command(),
                         plan_command(),
                         data_command(),
                         metrics_command(),
                         model_command(),
                         plugins_command(),
                         table_command(),
                         connectivity_command(),
                         status_command(),
                         resume_command(),
                         adapter_command(),
                         tokenize_command(),
                         config_command(),
                         version_command(),
                     },
                     argc, argv);
}
