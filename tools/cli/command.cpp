#include "tools/cli/command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>

#include "core/base/build_info.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/suggest.h"

namespace mneme::cli {

namespace {
void print_help(const std::string& program, const std::vector<Command>& commands, const std::string& more) {
  fmt::print("{}: continual learning of language models\n\nusage: {} COMMAND …\n\n", program, program);
  for (const auto& command : commands)
    if (!command.summary.empty()) fmt::print("  {:<12} {}\n", command.name, command.summary);
  if (!more.empty()) fmt::print("\n{}", more);
  fmt::print("\n'{} COMMAND --help' tells more. Start with: {} run experiments/quickstart.yaml\n", program, program);
}

int run_command(const std::string& program, const std::vector<Command>& commands, const Arguments& arguments,
                const std::function<std::string()>& more_help) {
  if (arguments.empty() || arguments[0] == "--help" || arguments[0] == "-h" || arguments[0] == "help") {
    print_help(program, commands, more_help ? more_help() : "");
    return arguments.empty() ? kUsage : kSuccess;
  }
  if (arguments[0] == "--version") {
    fmt::print("{} {}\n", program, build_info().version);
    return kSuccess;
  }
  std::vector<std::string> names;
  for (const auto& command : commands) {
    if (command.name == arguments[0]) return command.run({arguments.begin() + 1, arguments.end()});
    if (!command.summary.empty()) names.push_back(command.name);
  }
  throw UsageError(fmt::format("unknown command '{}'{}", arguments[0], hint(arguments[0], names)));
}
}  // namespace

int run_program(const std::string& program, const std::vector<Command>& commands, int argc, char** argv,
                const std::function<std::string()>& more_help) {
  init_logging();
  try {
    return run_command(program, commands, Arguments(argv + 1, argv + argc), more_help);
  } catch (const UsageError& e) {
    fmt::print(stderr, "{}: {}\nTry '{} --help'.\n", program, e.what(), program);
    return kUsage;
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}: {}\n", program, e.what());
    return kFailure;
  }
}

void exec_full_program(const Arguments& arguments) {
  const std::string path = (program_directory() / "mneme-run").string();
  std::vector<char*> argv{const_cast<char*>(path.c_str())};
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  ::execv(path.c_str(), argv.data());
  throw Error(fmt::format("{}: cannot be started: {}; build the target mneme-run", path, std::strerror(errno)));
}

}  // namespace mneme::cli
