#include "tools/cli/command.h"
#include "tools/cli/light/commands.h"
#include "tools/cli/light/config_groups.h"

int main(int argc, char** argv) {
  using namespace mneme::cli;
  return run_program("mneme", all_commands(), argc, argv, config_groups_help);
}
