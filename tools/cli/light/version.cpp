#include <fmt/format.h>

#include "core/base/build_info.h"
#include "tools/cli/light/commands.h"

namespace mneme::cli {

Command version_command() {
  return {"version", "", "the program's version, commit and compiler", [](const Arguments&) {
            const BuildInfo& info = build_info();
            fmt::print("mneme {} ({}, {})\n", info.version, info.git_commit, info.compiler);
            return kSuccess;
          }};
}

}  // namespace mneme::cli
