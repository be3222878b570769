#include "core/run/pretrain.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/config/compose.h"
#include "tools/cli/full/commands.h"
#include "tools/cli/search_path.h"

namespace mneme::cli {

namespace {
constexpr const char* kHelp = R"(usage: mneme pretrain FILE [overrides]

Trains a small base model from text and writes it to the directory `output`, as 'mneme run' reads models.

  mneme pretrain experiments/pretrain_nano.yaml output=models/nano
)";
}  // namespace

Command pretrain_command() {
  return {"pretrain", "FILE [overrides]", "trains a small base model from text", [](const Arguments& arguments) {
            if (std::find(arguments.begin(), arguments.end(), "--help") != arguments.end()) {
              fmt::print("{}", kHelp);
              return kSuccess;
            }
            if (arguments.empty())
              throw UsageError("pretrain takes a config file, such as experiments/pretrain_nano.yaml");
            config::Request request;
            request.file = arguments[0];
            request.overrides.assign(arguments.begin() + 1, arguments.end());
            request.search_path = search_path();
            const auto options = run::read_pretrain_options(config::resolve(config::compose(request).config));
            const double loss = run::pretrain(options);
            fmt::print("{}: answer loss {:.4f}\n", options.output.string(), loss);
            return kSuccess;
          }};
}

}  // namespace mneme::cli
