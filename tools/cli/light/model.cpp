#include "tools/cli/light/commands.h"

namespace mneme::cli {

Command model_command() {
  return {"model", "show DIR|check DIR|merge DIR ADAPTER OUT", "a model directory: sizes and memory, a trial, merging",
          [](const Arguments& arguments) -> int {
            Arguments all = arguments;
            all.insert(all.begin(), "model");
            exec_full_program(all);
          }};
}

}  // namespace mneme::cli
