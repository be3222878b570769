#pragma once

#include <functional>
#include <string>
#include <vector>

namespace mneme::cli {

using Arguments = std::vector<std::string>;

/// One sub-command of a program. Each lives in its own file under light/ (program `mneme`) or full/ (`mneme-run`) and
/// is listed in the table of that program's main file.
struct Command {
  std::string name;                        ///< "config"
  std::string usage;                       ///< what stands behind the name: "show FILE [overrides] [--resolve]"
  std::string summary;                     ///< one line for --help; "" keeps it out, for commands that programs call
  int (*run)(const Arguments& arguments);  ///< the arguments behind the name; returns the exit code
};

constexpr int kSuccess = 0, kFailure = 1, kUsage = 2;

/// Looks the command up, prints help where asked, runs it, and turns exceptions into one message on standard error:
/// UsageError gives exit code 2, every other exception 1.
/// \param more_help  what stands below the commands in the program's --help
int run_program(const std::string& program, const std::vector<Command>& commands, int argc, char** argv,
                const std::function<std::string()>& more_help = nullptr);

/// Replaces this process by mneme-run with the same arguments: for commands that need LibTorch.
/// Throws Error if the program is not beside this one.
[[noreturn]] void exec_full_program(const Arguments& arguments);

}  // namespace mneme::cli
