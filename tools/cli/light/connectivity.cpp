#include "core/report/connectivity.h"

#include <fmt/format.h>

#include <boost/program_options.hpp>
#include <filesystem>
#include <sstream>

#include "core/base/error.h"
#include "core/base/file.h"
#include "tools/cli/light/commands.h"

namespace mneme::cli {

namespace {
namespace po = boost::program_options;

constexpr const char* kHelp = R"(usage: mneme connectivity RUN [--svg FILE]

How loss and accuracy change between the minima of successive tasks, on the straight line and on a trained curve, for a
run whose strategy recorded them (strategy.probe=true). RUN is a run's directory or its run.h5.

  mneme run experiments/quickstart.yaml strategy=ilora seed=1 strategy.probe=true
  mneme connectivity results/quickstart/DATE_TIME/RUN --svg connectivity.svg
)";

int run_connectivity(const Arguments& arguments) {
  po::options_description options("options");
  options.add_options()("svg", po::value<std::string>(), "draw the paths into this file")("help,h", "this help");
  po::options_description all = options;
  all.add_options()("run", po::value<std::vector<std::string>>());
  po::positional_options_description positions;
  positions.add("run", -1);
  po::variables_map values;
  try {
    po::store(po::command_line_parser(arguments).options(all).positional(positions).run(), values);
    po::notify(values);
  } catch (const po::error& e) {
    throw UsageError(fmt::format("connectivity: {}", e.what()));
  }
  if (values.contains("help")) {
    std::ostringstream text;
    text << options;
    fmt::print("{}\n{}", kHelp, text.str());
    return kSuccess;
  }
  if (!values.contains("run") || values["run"].as<std::vector<std::string>>().size() != 1)
    throw UsageError("connectivity: name one run, for instance results/quickstart/DATE_TIME/RUN");
  const std::string run = values["run"].as<std::vector<std::string>>().front();
  const auto files = record::find_records(run);
  if (files.size() != 1)
    throw UsageError(
        fmt::format("connectivity: {} holds {} records; name the directory of one run", run, files.size()));
  const auto panels = report::connectivity_panels(record::Record(files.front()));
  fmt::print("{}", report::format_connectivity(panels));
  if (values.contains("svg")) write_file_atomically(values["svg"].as<std::string>(), report::connectivity_svg(panels));
  return kSuccess;
}
}  // namespace

Command connectivity_command() {
  return {"connectivity", "RUN [--svg FILE]", "loss and accuracy between the minima of successive tasks",
          run_connectivity};
}

}  // namespace mneme::cli
