#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/record/reader.h"
#include "tools/cli/light/commands.h"

namespace mneme::cli {
namespace fs = std::filesystem;

namespace {

constexpr const char* kHelp = R"(usage: mneme adapter export RUN [--after TASK] --out DIR

Copies the adapters that a run has written to DIR (new or empty), as PEFT directories: DIR itself where the run has one
adapter, else DIR/<adapter>.

RUN           a run's directory, which holds run.h5
--after TASK  the adapters as they were after this task, by name or by position from 1; else after the last one saved.
              Which are saved is chosen by the run's save.adapters: last, all or none.
)";

struct ExportArguments {
  std::string run, out, after;
};

ExportArguments parse(const Arguments& arguments) {
  ExportArguments parsed;
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    if (word == "--out" || word == "--after") {
      if (++i == arguments.size()) throw UsageError(fmt::format("adapter export: {} needs a value", word));
      (word == "--out" ? parsed.out : parsed.after) = arguments[i];
    } else if (word.starts_with("-")) {
      throw UsageError(fmt::format("adapter export: unknown option '{}'; known: --after, --out", word));
    } else if (parsed.run.empty()) {
      parsed.run = word;
    } else {
      throw UsageError(fmt::format("adapter export: '{}' is one argument too many", word));
    }
  }
  if (parsed.run.empty() || parsed.out.empty()) throw UsageError("adapter export: expected RUN and --out DIR");
  return parsed;
}

/// Positions of the tasks after which adapters were saved, ascending.
std::vector<std::int64_t> saved_positions(const fs::path& adapters) {
  std::vector<std::int64_t> positions;
  if (!fs::is_directory(adapters)) return positions;
  for (const auto& entry : fs::directory_iterator(adapters)) {
    const std::string name = entry.path().filename();
    std::int64_t position = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), position);
    if (error == std::errc() && end == name.data() + name.size()) positions.push_back(position);
  }
  std::sort(positions.begin(), positions.end());
  return positions;
}

std::int64_t position_of(const std::string& task, const std::vector<TaskInfo>& tasks) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    names.push_back(tasks[i].name);
    if (task == tasks[i].name || task == std::to_string(i + 1)) return static_cast<std::int64_t>(i) + 1;
  }
  throw Error(
      fmt::format("the run has no task '{}'{}; its tasks: {}", task, hint(task, names), fmt::join(names, ", ")));
}

int export_adapters(const ExportArguments& arguments) {
  const fs::path run = arguments.run, out = arguments.out, adapters = run / "adapters";
  const std::vector<TaskInfo> tasks = record::Record(run / "run.h5").tasks();
  const std::vector<std::int64_t> saved = saved_positions(adapters);
  if (saved.empty())
    throw Error(
        fmt::format("{}: the run has saved no adapters yet; save.adapters=last or all keeps them", adapters.string()));
  const std::int64_t after = arguments.after.empty() ? saved.back() : position_of(arguments.after, tasks);
  if (!std::binary_search(saved.begin(), saved.end(), after))
    throw Error(
        fmt::format("{}: no adapters of after task {}; there are those of after {}; save.adapters=all keeps "
                    "them of every task",
                    adapters.string(), after, fmt::join(saved, ", ")));
  if (fs::exists(out) && (!fs::is_directory(out) || !fs::is_empty(out)))
    throw Error(fmt::format("{}: is there and not empty; give a new directory", out.string()));
  fs::create_directories(out);
  fs::copy(adapters / std::to_string(after), out, fs::copy_options::recursive);
  fmt::print("{}\n", out.string());
  return kSuccess;
}

int run_adapter(const Arguments& arguments) {
  if (arguments.empty() || arguments[0] == "--help" || arguments[0] == "-h") {
    fmt::print("{}", kHelp);
    return arguments.empty() ? kUsage : kSuccess;
  }
  if (arguments[0] != "export")
    throw UsageError(fmt::format("adapter: unknown action '{}'; expected export", arguments[0]));
  return export_adapters(parse(arguments));
}

}  // namespace

Command adapter_command() {
  return {"adapter", "export RUN [--after TASK] --out DIR", "a run's adapters as PEFT directories", run_adapter};
}

}  // namespace mneme::cli
