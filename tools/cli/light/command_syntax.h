#pragma once

#include <string>
#include <vector>

namespace mneme::cli {

/// What an argument stands for.
enum class Operand {
  kNone,        ///< nothing, or a name that nobody can guess
  kConfigFile,  ///< a YAML file
  kFile,
  kDirectory,
  kOverrides,          ///< of the config file before them; may repeat
  kLauncherOverrides,  ///< launcher.KEY=VALUE; may repeat
  kDataOverrides,      ///< of a stream; may repeat
  kStream,
  kStrategy,
  kMetric,
};

struct OptionSyntax {
  std::string name;  ///< "--format"
  bool takes_value = false;
  std::vector<std::string> values;   ///< if they are few
  Operand operand = Operand::kNone;  ///< what the value is otherwise
};

/// The words of a command, or of one of its actions.
struct CommandSyntax {
  std::string command;
  std::string action;             ///< "" for a command without actions
  std::vector<Operand> operands;  ///< the last may repeat, if its kind may
  std::vector<OptionSyntax> options;
};

/// Every command's words, for completion. The commands read their arguments themselves; a test holds this table against
/// their --help.
const std::vector<CommandSyntax>& command_syntax();

}  // namespace mneme::cli
