#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/base/unicode.h"
#include "core/metric/continual_metric.h"
#include "core/metric/text_metric.h"
#include "tools/cli/format_option.h"
#include "tools/cli/light/commands.h"

namespace mneme::cli {

namespace {
using Json = nlohmann::ordered_json;

constexpr const char* kHelp = R"(usage: mneme metrics list [--format text|json]
       mneme metrics score ID FILE.jsonl [--format text|json]

list    every metric with its version and formula: text metrics score predictions, continual metrics are derived
        from the matrix R of a run
score   the score of a file with one JSON object per line:
        {"prediction": "..", "references": ["..", ..], "source": "..", "group": ".."}
        source is needed by sari, group by jga; FILE may be - for standard input

Scores are 0 to 1. With --format json, score prints {"metric", "version", "n", "value", "per_example"}.
)";

void list_metrics(bool json) {
  Json out{{"text", Json::array()}, {"continual", Json::array()}};
  for (const auto& m : metric::text_metrics()) {
    if (json)
      out["text"].push_back({{"id", m.id},
                             {"version", m.version},
                             {"formula", m.formula},
                             {"mean_over_examples", m.mean_over_examples},
                             {"needs_source", m.needs_source},
                             {"needs_group", m.needs_group}});
    else
      fmt::print("{:<28} v{}  {}\n", m.id, m.version, m.formula);
  }
  if (!json)
    fmt::print("\nContinual metrics: R[i][j] is the score on task j after training i tasks, S[j] of task j alone\n");
  for (const auto& m : metric::continual_metrics()) {
    if (json)
      out["continual"].push_back({{"id", m.id},
                                  {"version", m.version},
                                  {"formula", m.formula},
                                  {"higher_is_better", m.higher_is_better},
                                  {"needs_single", m.needs_single}});
    else
      fmt::print("{:<28} v{}  {}{}\n", m.id, m.version, m.formula, m.higher_is_better ? "" : " (lower is better)");
  }
  if (json) fmt::print("{}\n", out.dump(2));
}

std::string text_field(const Json& row, const char* key, const std::string& where, bool required) {
  if (!row.contains(key)) {
    if (required)
      throw DataError(fmt::format("{}: no \"{}\"; expected {{\"prediction\", \"references\": [..]}}", where, key));
    return "";
  }
  if (!row[key].is_string())
    throw DataError(fmt::format("{}: \"{}\" is {}; expected a string", where, key, row[key].type_name()));
  return row[key].get<std::string>();
}

metric::Sample parse_sample(const std::string& line, const std::string& where) {
  if (const auto at = find_invalid_utf8(line))
    throw DataError(fmt::format("{}: byte {} is not valid UTF-8", where, *at));
  const Json row = Json::parse(line, nullptr, false);
  if (row.is_discarded() || !row.is_object())
    throw DataError(
        fmt::format("{}: is not a JSON object; expected one per line, for instance {{\"prediction\": \"a\", "
                    "\"references\": [\"b\"]}}",
                    where));
  static const std::vector<std::string> keys{"prediction", "references", "source", "group"};
  for (const auto& [key, value] : row.items()) {
    if (std::find(keys.begin(), keys.end(), key) == keys.end())
      throw DataError(fmt::format("{}: unknown key \"{}\"{}", where, key, hint(key, keys)));
  }
  metric::Sample sample;
  sample.prediction = text_field(row, "prediction", where, true);
  sample.source = text_field(row, "source", where, false);
  sample.group = text_field(row, "group", where, false);
  if (!row.contains("references") || !row["references"].is_array() || row["references"].empty())
    throw DataError(fmt::format("{}: \"references\" must be a list of at least one string", where));
  for (const Json& reference : row["references"]) {
    if (!reference.is_string())
      throw DataError(fmt::format("{}: \"references\" holds {}; expected strings", where, reference.type_name()));
    sample.references.push_back(reference.get<std::string>());
  }
  return sample;
}

std::vector<metric::Sample> read_samples(const std::string& file) {
  const std::string path = file == "-" ? "/dev/stdin" : file;
  std::ifstream in(path);
  if (!in) throw DataError(fmt::format("{}: cannot be read; expected a file of JSON lines", file));
  std::vector<metric::Sample> samples;
  std::string line;
  for (std::size_t number = 1; std::getline(in, line); ++number) {
    if (strip(line).empty()) continue;
    samples.push_back(parse_sample(line, fmt::format("{}:{}", file, number)));
  }
  if (samples.empty()) throw DataError(fmt::format("{}: holds no rows; expected one JSON object per line", file));
  return samples;
}

void score_file(const std::string& id, const std::string& file, bool json) {
  const metric::TextMetric& m = metric::text_metric(id);
  const auto samples = read_samples(file);
  const metric::Score score = m.score(samples);
  if (json) {
    const Json out{{"metric", m.id},
                   {"version", m.version},
                   {"n", samples.size()},
                   {"value", score.value},
                   {"per_example", score.per_example}};
    fmt::print("{}\n", out.dump());
  } else {
    fmt::print("{} v{} over {} rows: {:.6f}\n", m.id, m.version, samples.size(), score.value);
  }
}

int run_metrics(const Arguments& given) {
  Arguments arguments = given;
  const bool json = take_json_format(arguments);
  if (arguments.empty()) throw UsageError("metrics: expected list or score");
  if (arguments[0] == "--help" || arguments[0] == "-h") {
    fmt::print("{}", kHelp);
    return kSuccess;
  }
  if (arguments[0] == "list" && arguments.size() == 1) {
    list_metrics(json);
  } else if (arguments[0] == "score" && arguments.size() == 3) {
    score_file(arguments[1], arguments[2], json);
  } else if (arguments[0] == "list" || arguments[0] == "score") {
    throw UsageError("metrics: expected 'list' or 'score ID FILE.jsonl'");
  } else {
    throw UsageError(
        fmt::format("metrics: unknown action '{}'{}", arguments[0], hint(arguments[0], {"list", "score"})));
  }
  return kSuccess;
}
}  // namespace

Command metrics_command() {
  return {"metrics", "list|score ID FILE.jsonl", "every metric with its formula; the score of a file of predictions",
          run_metrics};
}

}  // namespace mneme::cli
