#include "core/run/run.h"

#include <fmt/format.h>

#include <filesystem>

#include "core/base/error.h"
#include "core/plugin/loader.h"
#include "tools/cli/full/commands.h"

namespace mneme::cli {

Command run_command() {
  return {"run", "DIR", "runs DIR/.hydra/resolved.json, or goes on with it (started by `mneme run`)",
          [](const Arguments& arguments) {
            if (arguments.size() != 1) throw UsageError("run takes one argument: the directory of a run");
            plugin::PluginRegistry plugins(plugin::plugin_search_path());
            switch (run::execute(std::filesystem::absolute(arguments[0]), plugins)) {
              case RunStatus::kDone: return kSuccess;
              case RunStatus::kDiverged: return kDiverged;
              default: return kFailure;
            }
          }};
}

}  // namespace mneme::cli
