#pragma once

#include <fmt/format.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <stdexcept>
#include <string>

namespace mneme::test {

/// What a program did.
struct Outcome {
  int code = -1;       ///< exit code
  std::string output;  ///< standard output, and standard error where asked for
};

/// Runs a command line through a shell.
inline Outcome run_shell(const std::string& command) {
  std::FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("no shell to run: " + command);
  Outcome outcome;
  std::array<char, 4096> buffer;
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe))
    outcome.output.append(buffer.data(), n);
  outcome.code = WEXITSTATUS(::pclose(pipe));
  return outcome;
}

/// Runs a program of the build tree, for instance run_program("mneme", "data list"); the arguments go through a shell.
inline Outcome run_program(const std::string& name, const std::string& arguments, bool errors = true) {
  return run_shell(
      fmt::format("'{}/bin/{}' {} {}", MNEME_BINARY_DIR, name, arguments, errors ? "2>&1" : "2>/dev/null"));
}

}  // namespace mneme::test
