// Commands that need LibTorch: mneme-run does them.
#include "tools/cli/light/commands.h"

namespace mneme::cli {

namespace {
int hand_over(const char* command, const Arguments& arguments) {
  Arguments all = arguments;
  all.insert(all.begin(), command);
  exec_full_program(all);
}
}  // namespace

Command model_command() {
  return {"model", "show|logits|generate|score|probe|merge DIR …", "a model directory: sizes, memory, numbers",
          [](const Arguments& arguments) { return hand_over("model", arguments); }};
}

Command plugins_command() {
  return {"plugins", "list|show NAME|check NAME|new NAME",
          "the strategy plugins, their parameters; the contract; a new one",
          [](const Arguments& arguments) { return hand_over("plugins", arguments); }};
}

Command pretrain_command() {
  return {"pretrain", "FILE [overrides]", "trains a small base model from text",
          [](const Arguments& arguments) { return hand_over("pretrain", arguments); }};
}

}  // namespace mneme::cli
