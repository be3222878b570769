#include "core/model/tensor_memory.h"
#include "tools/cli/command.h"
#include "tools/cli/full/commands.h"

int main(int argc, char** argv) {
  using namespace mneme::cli;
  mneme::model::use_tensor_memory();
  return run_program("mneme-run",
                     {
                         model_command(),
                         plugins_command(),
                         pretrain_command(),
                         run_command(),
                         validate_command(),
                     },
                     argc, argv);
}
