#include "core/report/table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <filesystem>
#include <sstream>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/report/format.h"
#include "core/report/heatmap.h"
#include "core/report/keys.h"
#include "core/report/matrix.h"
#include "tools/cli/light/commands.h"

namespace mneme::cli {

namespace {
namespace po = boost::program_options;
using report::Results;

constexpr const char* kHelp = R"(usage: mneme table DIR… [options]

The results table of the runs below some directories: mean ± standard deviation over seeds, one row per strategy and per
further key that varies. A DIR is a run, a sweep or a whole results directory. Runs that are missing, failed, diverged or
unfinished are never dropped silently: they stand below the table.

  mneme table results/mini8
  mneme table results/mini8 --metrics tasks                  one column per task, and their average
  mneme table results/mini8 --cols stream --metrics aa.last  one column per stream
  mneme table results/mini8 --metrics aa.last,train_seconds,state_bytes --format latex
  mneme table results/mini8 --matrix --svg forgetting.svg    R itself, as text and as a picture

Metrics: the continual ones (mneme metrics list), task.NAME for the final score on a task, tasks for all of these,
train_seconds, eval_seconds, strategy_seconds, tokens, flops, peak_bytes, trainable_parameters, state_bytes.
aa.last@ID reads the scores of metric ID instead of each task's own.
)";

po::options_description option_list() {
  po::options_description options("options");
  options.add_options()                                                                                     //
      ("rows", po::value<std::string>(), "config keys that make a row, with commas: strategy,train.lr")     //
      ("cols", po::value<std::string>(), "config keys whose values become columns")                         //
      ("metrics", po::value<std::string>(), "metrics to show; default aa.last,bwt.gem,fgt.max,plasticity")  //
      ("format", po::value<std::string>()->default_value("text"), "text, md, csv, latex or json")           //
      ("digits", po::value<int>()->default_value(1), "decimals of percentages in text, md and latex")       //
      ("single", po::value<std::string>()->default_value("strategy=one"),
       "runs that give S, each task learnt alone")                                        //
      ("list", "also list the runs that were found")                                      //
      ("matrix", "print the matrix R of every row instead of the table")                  //
      ("svg", po::value<std::string>(), "draw the matrix R of every row into this file")  //
      ("help,h", "this help");
  return options;
}

po::variables_map parse(const Arguments& arguments) {
  po::options_description all = option_list();
  all.add_options()("dir", po::value<std::vector<std::string>>());
  po::positional_options_description positions;
  positions.add("dir", -1);
  po::variables_map values;
  try {
    po::store(po::command_line_parser(arguments).options(all).positional(positions).run(), values);
    po::notify(values);
  } catch (const po::error& e) {
    throw UsageError(fmt::format("table: {}", e.what()));
  }
  return values;
}

/// "a,b" as two texts.
std::vector<std::string> split_list(const po::variables_map& values, const std::string& option) {
  std::vector<std::string> items;
  if (!values.contains(option)) return items;
  std::istringstream in(values[option].as<std::string>());
  for (std::string item; std::getline(in, item, ',');) {
    if (item.empty()) throw UsageError(fmt::format("--{} {}: an item is empty", option, in.str()));
    items.push_back(item);
  }
  return items;
}

/// The runs that the table stands on.
std::string list_runs(const Results& results, const report::TableOptions& options) {
  std::vector<std::string> keys = options.rows.empty() ? default_row_keys(results.runs, options.cols) : options.rows;
  keys.insert(keys.end(), options.cols.begin(), options.cols.end());
  keys.emplace_back("seed");
  std::vector<const report::Result*> runs;
  for (const report::Result& run : results.runs) runs.push_back(&run);
  std::stable_sort(runs.begin(), runs.end(), [&](const report::Result* a, const report::Result* b) {
    const auto x = values_of(*a, keys), y = values_of(*b, keys);
    return std::lexicographical_compare(x.begin(), x.end(), y.begin(), y.end(), report::natural_less);
  });
  std::string out;
  for (const report::Result* run : runs) {
    std::vector<std::string> shown;
    for (const std::string& key : keys)
      if (!run->value(key).empty()) shown.push_back(fmt::format("{}={}", key, run->value(key)));
    out += fmt::format("{:<8}  {}  {}  {}\n", to_string(run->status), run->run_id, fmt::join(shown, " "),
                       run->path.parent_path().string());
  }
  return out;
}

int run_table(const Arguments& arguments) {
  const po::variables_map values = parse(arguments);
  if (values.contains("help")) {
    std::ostringstream options;
    options << option_list();
    fmt::print("{}\n{}", kHelp, options.str());
    return kSuccess;
  }
  if (!values.contains("dir")) throw UsageError("table: name at least one directory, for instance results");
  std::vector<std::filesystem::path> directories;
  for (const std::string& directory : values["dir"].as<std::vector<std::string>>()) directories.emplace_back(directory);
  const report::TableOptions options{.rows = split_list(values, "rows"),
                                     .cols = split_list(values, "cols"),
                                     .metrics = split_list(values, "metrics"),
                                     .single = values["single"].as<std::string>()};
  const std::string format = values["format"].as<std::string>();
  const int digits = values["digits"].as<int>();
  if (digits < 0 || digits > 9) throw UsageError(fmt::format("--digits {}: expected 0 to 9", digits));
  const Results results = report::load_results(directories);
  const report::Table table = report::make_table(results, options);
  const bool for_people = format != "csv" && format != "json";
  if (values.contains("matrix")) {
    const auto panels = report::make_panels(results, options);
    for (std::size_t i = 0; i < panels.size(); ++i)
      fmt::print("{}{}", i == 0 ? "" : "\n", report::format_matrix(panels[i], digits));
  } else {
    fmt::print("{}", report::format_table(table, format, {digits}));
  }
  if (!for_people || values.contains("matrix"))
    for (const std::string& note : report::note_lines(table)) fmt::print(stderr, "note: {}\n", note);
  if (values.contains("svg"))
    write_file_atomically(values["svg"].as<std::string>(), report::heatmap_svg(report::make_panels(results, options)));
  if (values.contains("list")) fmt::print(for_people ? stdout : stderr, "\n{}", list_runs(results, options));
  return kSuccess;
}
}  // namespace

Command table_command() {
  return {"table", "DIR… [--rows K,..] [--cols K,..] [--metrics M,..] [--format text|md|csv|latex|json]",
          "the results table of finished runs", run_table};
}

}  // namespace mneme::cli
