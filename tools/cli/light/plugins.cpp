#include "tools/cli/light/commands.h"

namespace mneme::cli {

Command plugins_command() {
  return {"plugins", "list|show NAME|check NAME|new NAME",
          "the strategy plugins, their parameters; the contract; a new one", [](const Arguments& arguments) -> int {
            Arguments all = arguments;
            all.insert(all.begin(), "plugins");
            exec_full_program(all);
          }};
}

}  // namespace mneme::cli
