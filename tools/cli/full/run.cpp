#include "core/run/run.h"

#include <fmt/format.h>

#include <csignal>
#include <filesystem>

#include "core/base/error.h"
#include "core/plugin/loader.h"
#include "tools/cli/full/commands.h"

namespace mneme::cli {

namespace {
volatile std::sig_atomic_t stop_requested = 0;  // a signal handler can reach nothing else

/// The first signal asks the run to stop after its step, the second ends the program.
void ask_to_stop(int number) {
  stop_requested = 1;
  std::signal(number, SIG_DFL);
}
}  // namespace

Command run_command() {
  return {
      "run", "DIR", "runs DIR/.hydra/resolved.json, or goes on with it (started by `mneme run`)",
      [](const Arguments& arguments) {
        if (arguments.size() != 1) throw UsageError("run takes one argument: the directory of a run");
        plugin::PluginRegistry plugins(plugin::plugin_search_path());
        for (const int number : {SIGINT, SIGTERM}) std::signal(number, ask_to_stop);
        switch (run::execute(std::filesystem::absolute(arguments[0]), plugins, [] { return stop_requested != 0; })) {
          case RunStatus::kDone:
            return kSuccess;
          case RunStatus::kDiverged:
            return kDiverged;
          case RunStatus::kRunning:
            return kStopped;
          default:
            return kFailure;
        }
      }};
}

}  // namespace mneme::cli
