#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/base/unicode.h"
#include "core/config/compose.h"
#include "core/data/stream_config.h"
#include "tools/cli/format_option.h"
#include "tools/cli/light/commands.h"
#include "tools/cli/search_path.h"

namespace mneme::cli {
namespace fs = std::filesystem;

namespace {
using Json = nlohmann::ordered_json;
using data::kSplits;
using data::Split;

constexpr const char* kHelp = R"(usage: mneme data list [overrides] [--format text|json]
       mneme data show STREAM [overrides] [--rows N] [--format text|json]
       mneme data check STREAM [overrides] [--format text|json]

list    every stream: its tasks, and whether its files are there
show    the tasks of a stream in training order: metric, labels, limits, and the first N training rows (1)
check   loads every row: counts, SHA-256 of the files, lengths in characters, what is missing or wrong and where to get
        it; exit code 1 if anything is

Overrides are those of experiments, such as data.root=/my/data or stream.max_train=100. STREAM is one of the names that
list shows, or a config file with a stream of your own below the config groups.
)";

/// The names of all streams: the files of the group `stream` that do not begin with an underscore.
std::vector<std::string> stream_names() {
  std::vector<std::string> names;
  for (const config::SearchRoot& root : search_path()) {
    const fs::path directory = root.mount == "stream" ? root.directory
                               : root.mount.empty()   ? root.directory / "stream"
                                                      : "";
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(directory, error)) {
      const std::string stem = entry.path().stem().string();
      if (entry.path().extension() == ".yaml" && !stem.starts_with('_')) names.push_back(stem);
    }
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

/// The resolved `stream` group with the named stream chosen.
config::Node compose_stream(const std::string& stream, const Arguments& overrides) {
  const std::vector<std::string> names = stream_names();
  if (std::find(names.begin(), names.end(), stream) == names.end())
    throw UsageError(fmt::format("unknown stream '{}'{}", stream, hint(stream, names)));
  config::Request request;
  request.search_path = search_path();
  const auto conf = std::find_if(request.search_path.begin(), request.search_path.end(),
                                 [](const config::SearchRoot& root) { return root.mount.empty(); });
  if (conf == request.search_path.end())
    throw Error("share/mneme/conf is not beside this program's bin/; install or build Mneme anew");
  request.file = conf->directory / "data.yaml";
  request.overrides = overrides;  // the choice behind them, so that messages count the user's overrides from 1
  request.overrides.push_back("stream=" + stream);
  return config::resolve(config::compose(request)).at("stream");
}

bool is_file_stream(const config::Node& stream) {
  const config::Node* kind = stream.find("kind");
  return kind != nullptr && kind->is_string() && kind->as_string() == "files";
}

/// A stream as far as it can be had: tasks whose files are missing are left out and listed.
struct PartialStream {
  data::Stream stream;
  std::vector<std::string> order;  ///< of all tasks
  std::vector<std::string> missing;
  std::string where_to_get;
};

PartialStream open_stream(const config::Node& node) {
  PartialStream partial;
  if (!is_file_stream(node)) {
    partial.stream = data::build_stream(node);
    for (const data::Task& task : partial.stream.tasks) partial.order.push_back(task.name());
    return partial;
  }
  data::StreamOptions options = data::stream_options(node);
  for (const fs::path& file : data::missing_files(options)) partial.missing.push_back(file.string());
  if (options.order.empty())
    for (const data::TaskSpec& spec : options.tasks) options.order.push_back(spec.name);
  partial.order = options.order;
  partial.where_to_get = data::where_to_get(options);
  partial.stream.name = options.name;
  for (const std::string& name : partial.order) {
    data::StreamOptions one = options;
    one.order = {name};
    if (data::missing_files(one).empty()) partial.stream.tasks.push_back(data::load_stream(one).tasks.front());
  }
  return partial;
}

int list_streams(const Arguments& overrides, bool json) {
  Json out = Json::array();
  for (const std::string& name : stream_names()) {
    const PartialStream partial = open_stream(compose_stream(name, overrides));
    if (json) {
      out.push_back({{"name", name}, {"tasks", partial.order}, {"missing_files", partial.missing.size()}});
      continue;
    }
    const std::string state =
        partial.missing.empty() ? "all there" : fmt::format("{} files missing", partial.missing.size());
    fmt::print("{:<13} {:>2} tasks  {:<17} {}\n", name, partial.order.size(), state, fmt::join(partial.order, ", "));
  }
  if (json)
    fmt::print("{}\n", out.dump(2));
  else
    fmt::print("\n'mneme data check STREAM' says which files are missing and where to get them.\n");
  return kSuccess;
}

std::string one_line(std::string_view text, std::size_t most) {
  std::u32string points = decode_utf8(text);
  const bool cut = points.size() > most;
  if (cut) points.resize(most);
  std::string out;
  for (const char c : encode_utf8(points)) out += c == '\n' ? "\\n" : c == '\t' ? "\\t" : std::string{c};
  return out + (cut ? "…" : "");
}

Json task_json(const data::Task& task, std::size_t rows) {
  const data::TaskSpec& spec = task.spec();
  Json out{{"name", spec.name},
           {"metric", spec.metric},
           {"more_metrics", spec.more_metrics},
           {"labels", spec.labels},
           {"max_new_tokens", spec.max_new_tokens},
           {"instruction", spec.instruction},
           {"keep_from", spec.keep_from},
           {"cue", spec.cue}};
  for (const Split split : kSplits) out["rows"][std::string(to_string(split))] = task.split(split).size();
  out["examples"] = Json::array();
  for (const data::Example& row : task.split(Split::kTrain).first(std::min(rows, task.split(Split::kTrain).size())))
    out["examples"].push_back({{"row_id", row.row_id},
                               {"prompt", row.prompt},
                               {"answer", row.answer},
                               {"references", row.references},
                               {"group", row.group}});
  return out;
}

void print_task(const data::Task& task, std::size_t rows) {
  constexpr std::size_t kExcerpt = 400;
  const data::TaskSpec& spec = task.spec();
  fmt::print("{}\n  metric {}", spec.name, spec.metric);
  if (!spec.more_metrics.empty()) fmt::print(" (and {})", fmt::join(spec.more_metrics, ", "));
  fmt::print(", at most {} new tokens\n", spec.max_new_tokens);
  if (!spec.labels.empty()) fmt::print("  labels {}\n", fmt::join(spec.labels, ", "));
  fmt::print("  rows {} train, {} eval, {} test\n", task.split(Split::kTrain).size(), task.split(Split::kEval).size(),
             task.split(Split::kTest).size());
  for (const data::Example& row : task.split(Split::kTrain).first(std::min(rows, task.split(Split::kTrain).size())))
    fmt::print("  [{}] {}\n    => {}\n", row.row_id, one_line(row.prompt, kExcerpt), one_line(row.answer, kExcerpt));
}

int show_stream(const std::string& name, const Arguments& overrides, std::size_t rows, bool json) {
  const data::Stream stream = data::build_stream(compose_stream(name, overrides));
  Json out{{"name", stream.name}, {"tasks", Json::array()}};
  for (const data::Task& task : stream.tasks) {
    if (json)
      out["tasks"].push_back(task_json(task, rows));
    else
      print_task(task, rows);
  }
  if (json) fmt::print("{}\n", out.dump(2));
  return kSuccess;
}

/// Lengths in characters.
struct Lengths {
  std::size_t median = 0, p95 = 0, longest = 0, longest_answer = 0;
};

Lengths lengths_of(std::span<const data::Example> rows) {
  Lengths lengths;
  std::vector<std::size_t> prompts;
  for (const data::Example& row : rows) {
    prompts.push_back(decode_utf8(row.prompt).size());
    lengths.longest_answer = std::max(lengths.longest_answer, decode_utf8(row.answer).size());
  }
  if (prompts.empty()) return lengths;
  std::sort(prompts.begin(), prompts.end());
  const auto at = [&](double share) {
    return prompts[static_cast<std::size_t>(share * static_cast<double>(prompts.size() - 1))];
  };
  lengths.median = at(.5), lengths.p95 = at(.95), lengths.longest = prompts.back();
  return lengths;
}

Json check_split(const data::Task& task, Split split, std::vector<std::string>& errors) {
  Json out{{"task", task.name()}, {"split", to_string(split)}};
  try {
    const auto rows = task.split(split);
    const Lengths lengths = lengths_of(rows);
    out.update({{"rows", rows.size()},
                {"sha256", task.sha256(split)},
                {"prompt_median", lengths.median},
                {"prompt_p95", lengths.p95},
                {"prompt_longest", lengths.longest},
                {"answer_longest", lengths.longest_answer}});
  } catch (const DataError& e) {
    errors.push_back(e.what());
    out["error"] = e.message();
  }
  return out;
}

void print_check(const Json& splits, const PartialStream& partial, const std::vector<std::string>& errors) {
  fmt::print("{:<14} {:<6} {:>6}  {:<12}  {:>7} {:>7} {:>8} {:>7}\n", "task", "split", "rows", "sha256", "median",
             "95 %", "longest", "answer");
  for (const Json& s : splits) {
    const std::string task = s["task"], split = s["split"];
    if (s.contains("error"))
      fmt::print("{:<14} {:<6} wrong, see below\n", task, split);
    else
      fmt::print("{:<14} {:<6} {:>6}  {:<12}  {:>7} {:>7} {:>8} {:>7}\n", task, split, s["rows"].get<std::size_t>(),
                 s["sha256"].get<std::string>().substr(0, 12), s["prompt_median"].get<std::size_t>(),
                 s["prompt_p95"].get<std::size_t>(), s["prompt_longest"].get<std::size_t>(),
                 s["answer_longest"].get<std::size_t>());
  }
  if (!partial.missing.empty()) {
    fmt::print("\n{} files are missing; {}:\n", partial.missing.size(), partial.where_to_get);
    for (const std::string& file : partial.missing) fmt::print("  {}\n", file);
  }
  for (const std::string& error : errors) fmt::print("\n{}\n", error);
  if (partial.missing.empty() && errors.empty()) fmt::print("\nAll rows load. Lengths are in characters.\n");
}

int check_stream(const std::string& name, const Arguments& overrides, bool json) {
  const PartialStream partial = open_stream(compose_stream(name, overrides));
  std::vector<std::string> errors;
  Json splits = Json::array();
  for (const data::Task& task : partial.stream.tasks)
    for (const Split split : kSplits) splits.push_back(check_split(task, split, errors));
  if (json) {
    Json out{{"name", partial.stream.name}, {"splits", splits}, {"missing", partial.missing}, {"errors", errors}};
    if (!partial.missing.empty()) out["where_to_get"] = partial.where_to_get;
    fmt::print("{}\n", out.dump(2));
  } else {
    print_check(splits, partial, errors);
  }
  return partial.missing.empty() && errors.empty() ? kSuccess : kFailure;
}

/// Takes "--rows N" or "--rows=N" out of the arguments.
std::size_t take_rows(Arguments& arguments) {
  const auto at = std::find_if(arguments.begin(), arguments.end(),
                               [](const std::string& a) { return a == "--rows" || a.starts_with("--rows="); });
  if (at == arguments.end()) return 1;
  const bool joined = *at != "--rows";
  if (!joined && at + 1 == arguments.end()) throw UsageError("--rows needs a number");
  const std::string value = joined ? at->substr(7) : *(at + 1);
  if (value.empty() || value.size() > 9 || value.find_first_not_of("0123456789") != std::string::npos)
    throw UsageError(fmt::format("--rows {}: expected a number of rows", value));
  arguments.erase(at, at + (joined ? 1 : 2));
  return static_cast<std::size_t>(std::stoul(value));
}

int run_data(const Arguments& given) {
  Arguments arguments = given;
  if (std::find(arguments.begin(), arguments.end(), "--help") != arguments.end() ||
      (!arguments.empty() && arguments[0] == "-h")) {
    fmt::print("{}", kHelp);
    return kSuccess;
  }
  const bool json = take_json_format(arguments);
  const std::size_t rows = take_rows(arguments);
  for (const std::string& argument : arguments)
    if (argument.starts_with("--")) throw UsageError(fmt::format("data: unknown option '{}'", argument));
  if (arguments.empty()) throw UsageError("data: expected list, show STREAM or check STREAM");
  const std::string action = arguments[0];
  if (action == "list") return list_streams({arguments.begin() + 1, arguments.end()}, json);
  if (action != "show" && action != "check")
    throw UsageError(fmt::format("data: unknown action '{}'{}", action, hint(action, {"list", "show", "check"})));
  if (arguments.size() < 2) throw UsageError(fmt::format("data {}: expected the name of a stream", action));
  const Arguments overrides(arguments.begin() + 2, arguments.end());
  return action == "show" ? show_stream(arguments[1], overrides, rows, json)
                          : check_stream(arguments[1], overrides, json);
}
}  // namespace

Command data_command() {
  return {"data", "list|show STREAM|check STREAM [overrides]", "streams, their tasks and rows, what is missing",
          run_data};
}

}  // namespace mneme::cli
