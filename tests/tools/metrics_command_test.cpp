#include <nlohmann/json.hpp>

#include "core/base/file.h"
#include "core/metric/continual_metric.h"
#include "core/metric/text_metric.h"
#include "tests/support/catch.h"
#include "tests/support/program.h"
#include "tests/support/temporary_directory.h"

using namespace mneme;
using Catch::Contains;
using test::Outcome;

namespace {
Outcome metrics(const std::string& arguments, bool errors = true) {
  return test::run_program("mneme", "metrics " + arguments, errors);
}
}  // namespace

TEST_CASE("mneme metrics list shows every metric", "[command]") {
  const Outcome text = metrics("list");
  CHECK(text.code == 0);
  const Outcome json = metrics("list --format json", false);
  const auto listed = nlohmann::json::parse(json.output);
  CHECK(listed["text"].size() == metric::text_metrics().size());
  CHECK(listed["continual"].size() == metric::continual_metrics().size());
  for (const auto& entry : listed["text"]) CHECK_THAT(text.output, Contains(entry["id"].get<std::string>()));
  for (const auto& entry : listed["continual"]) CHECK_THAT(text.output, Contains(entry["formula"].get<std::string>()));
}

TEST_CASE("mneme metrics score reads rows from a file or standard input", "[command]") {
  const test::TemporaryDirectory directory("metrics-command");
  const std::string file = (directory / "rows.jsonl").string();
  write_file_atomically(file,
                        "{\"prediction\": \"yes\", \"references\": [\"no\", \"yes\"]}\n\n"
                        "{\"prediction\": \"no\", \"references\": [\"yes\"], \"source\": \"q\", \"group\": \"g\"}\n");
  const Outcome json = metrics("score accuracy " + file + " --format json", false);
  CHECK(json.code == 0);
  const auto score = nlohmann::json::parse(json.output);
  CHECK(score["metric"] == "accuracy");
  CHECK(score["value"] == 0.5);
  CHECK(score["n"] == 2);
  CHECK(score["per_example"] == nlohmann::json::array({1.0, 0.0}));
  CHECK_THAT(metrics("score accuracy - --format=text < " + file).output, Contains("accuracy v1 over 2 rows: 0.500000"));
}

TEST_CASE("mneme metrics says what is wrong, with the exit code of the cause", "[command]") {
  const test::TemporaryDirectory directory("metrics-command");
  const std::string file = (directory / "rows.jsonl").string();
  const auto refuse = [&](const std::string& content, const std::string& message) {
    write_file_atomically(file, content);
    const Outcome outcome = metrics("score accuracy " + file);
    INFO(content);
    CHECK(outcome.code == 1);
    CHECK_THAT(outcome.output, Contains(message));
  };
  refuse("", "holds no rows");
  refuse("{\"prediction\": \"a\", \"references\": [\"b\"]}\n{\"prediction\"", "rows.jsonl:2: is not a JSON object");
  refuse("{\"prediction\": 3, \"references\": [\"b\"]}", "rows.jsonl:1: \"prediction\" is number; expected a string");
  refuse("{\"references\": [\"b\"]}", "rows.jsonl:1: no \"prediction\"");
  refuse("{\"prediction\": \"a\", \"references\": []}", "\"references\" must be a list of at least one string");
  refuse("{\"prediction\": \"a\", \"references\": [1]}", "\"references\" holds number; expected strings");
  refuse("{\"prediction\": \"a\", \"reference\": [\"b\"]}", "unknown key \"reference\"; did you mean 'references'?");
  refuse("{\"prediction\": \"\xFF\", \"references\": [\"b\"]}", "rows.jsonl:1: byte 16 is not valid UTF-8");
  CHECK(metrics("score accuracy /nowhere/rows.jsonl").code == 1);
  CHECK_THAT(metrics("score acuracy " + file).output, Contains("did you mean 'accuracy'?"));
  CHECK(metrics("").code == 2);
  CHECK(metrics("lits").code == 2);
  CHECK_THAT(metrics("lits").output, Contains("unknown action 'lits'; did you mean 'list'?"));
  CHECK(metrics("score accuracy").code == 2);
  CHECK(metrics("list --format yaml").code == 2);
  CHECK(metrics("--help").code == 0);
}
