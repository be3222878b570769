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
void print_help(const std::string& program, const std::vector<Command>& commands) {
  fmt::print("{}: continual learning of language models\n\nusage: {} COMMAND …\n\n", program, program);
  for (const auto& command : commands) fmt::print("  {:<12} {}\n", command.name, command.summary);
  fmt::print("\n'{} COMMAND --help' tells more. Start with: {} run experiments/quickstart.yaml\n", program, program);
}

int run_command(const std::string& program, const std::vector<Command>& commands, const Arguments& arguments) {
  if (arguments.empty() || arguments[0] == "--help" || arguments[0] == "-h" || arguments[0] == "help") {
    print_help(program, commands);
    return arguments.empty() ? kUsage : kSuccess;
  }
  if (arguments[0] == "--version") {
    fmt::print("{} {}\n", program, build_info().version);
    return kSuccess;
  }
  std::vector<std::string> names;
  for (const auto& command : commands) {
    if (command.name == arguments[0]) return command.run({arguments.begin() + 1, arguments.end()});
    names.push_back(command.name);
  }
  throw UsageError(fmt::format("unknown command '{}'{}", arguments[0], hint(arguments[0], names)));
}
}  // namespace

int run_program(const std::string& program, const std::vector<Command>& commands, int argc, char** argv) {
  init_logging();
  try {
    return run_command(program, commands, Arguments(argv + 1, argv + argc));
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
