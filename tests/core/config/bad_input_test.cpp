// What must never start a run: each a clear error that names the place.
#include <chrono>

#include "core/base/error.h"
#include "tests/core/config/config_tree.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::config;
using Catch::Contains;

namespace {
/// The message of the error that planning ends in.
std::string error_of(const ConfigTree& tree, std::vector<std::string> overrides = {}, bool multirun = false) {
  try {
    tree.plan(std::move(overrides), multirun);
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "no error";
}

std::string repeated(const std::string& text, int times) {
  std::string result;
  for (int i = 0; i < times; ++i) result += text;
  return result;
}
constexpr int kMega = 1'000'000;
}  // namespace

TEST_CASE("interpolations that lead in a circle", "[config][bad]") {
  CHECK_THAT(error_of({{"config.yaml", "a: ${b}\nb: ${c}\nc: x${a}\n"}}),
             Contains("config.yaml:1:4: a = '${b}'") && Contains("leads back to itself"));
  CHECK_THAT(error_of({{"config.yaml", "a: {b: {c: '${a}'}}\n"}}), Contains("a.b.c = '${a}'") && Contains("holds"));
  CHECK_THAT(error_of({{"config.yaml", "a: 1\n"}}, {"a='${a}'"}), Contains("<command line>:1:3"));
}

TEST_CASE("interpolations that make a configuration too deep or too large", "[config][bad]") {
  std::string chain = "a0: {x: 1}\n", doubling = "b0: [1, 2]\n";
  for (int i = 1; i < 3000; ++i) chain = fmt::format("a{}: {{x: '${{a{}}}'}}\n", i, i - 1) + chain;
  for (int i = 1; i < 40; ++i) doubling += fmt::format("b{}: ['${{b{}}}', '${{b{}}}']\n", i, i - 1, i - 1);
  CHECK_THAT(error_of({{"config.yaml", chain}}), Contains("more than 500 levels"));
  CHECK_THAT(error_of({{"config.yaml", doubling}}), Contains("more than 500000 values"));
}

TEST_CASE("defaults lists that lead in a circle", "[config][bad]") {
  CHECK_THAT(error_of({{"config.yaml", "defaults: [{db: a}]\n"},
                       {"db/a.yaml", "defaults: [{/db: b}]\n"},
                       {"db/b.yaml", "defaults: [{/db: a}]\n"}}),
             Contains("the defaults lists lead in a circle") && Contains("db/a -> db/b"));
  CHECK_THAT(error_of({{"config.yaml", "defaults: [config]\n"}}),
             Contains("config -> config …\nIf another config of this name was meant, rename this file"));
}

TEST_CASE("keys given twice and tabs", "[config][bad]") {
  CHECK_THAT(error_of({{"config.yaml", "a: 1\nb: 2\na: 3\n"}}),
             Contains("config.yaml:3:1: the key 'a' is given twice"));
  CHECK_THAT(error_of({{"config.yaml", "a: {b: 1, b: 2}\n"}}),
             Contains("config.yaml:1:11: the key 'b' is given twice"));
  CHECK_THAT(error_of({{"config.yaml", "a:\n\tb: 1\n"}}), Contains("config.yaml:2:1: a tab"));
}

TEST_CASE("text that is no UTF-8", "[config][bad]") {
  CHECK_THAT(error_of({{"config.yaml", "a: 1\nb: \xff\xfe\n"}}),
             Contains("config.yaml:2:4: the text is no valid UTF-8"));
  for (const std::string override : {"a=\xff", "a='\xff'", "a=[1,\"\xc3\"]", "+\xff=1"})
    CHECK_THAT(error_of({{"config.yaml", "a: 1\n"}}, {override}),
               Contains("<command line>:1:") && Contains("no valid UTF-8"));
}

TEST_CASE("overrides of a megabyte end quickly, with a short message", "[config][bad]") {
  const ConfigTree tree({{"config.yaml", "a: 1\n"}});
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"a=" + repeated("1", kMega), "more than 4300 digits"},
      {"a=" + repeated("[", kMega), "more than 100 levels"},
      {"a=" + repeated("{a:", kMega / 3), "more than 100 levels"},
      {"a=" + repeated("int(", kMega / 4), "more than 100 levels"},
      {"a=" + repeated("x", kMega) + "!", "unexpected character '!'"},
      {"a='" + repeated("x", kMega), "not closed"},
      {"a" + repeated(".b", kMega / 2) + "=1", "more than 100 levels"},
      {"+a@p" + repeated(".b", kMega / 2) + "=1", "more than 100 levels"},
      {"a=" + repeated("1,", kMega / 2) + "1", "add -m"},
      {"a='${" + repeated("${", kMega / 2) + "'", "more than 100 levels"},
      {repeated("a", kMega) + "=1", "there is no key"},
  };
  for (const auto& [override, message] : cases) {
    const std::string error = error_of(tree, {override});
    CHECK_THAT(error, Contains(message));
    CHECK(error.size() < 3000);
  }
  CHECK_THAT(error_of(tree, {"a=" + repeated("1,", kMega / 2) + "1"}, true), Contains("more than 100000 runs"));
  CHECK(tree.compose({"a='" + repeated("x", kMega) + "'"}).config.at("a").as_string().size() == kMega);
}

TEST_CASE("a sweep without runs, one with too many, one without anything to sweep", "[config][bad]") {
  const auto sweep = [](const std::string& block) {
    return error_of({{"config.yaml", "a: 1\nb: 2\nsweep: " + block + "\n"}});
  };
  CHECK_THAT(sweep("{grid: {a: 'range(3,1)'}}"), Contains("config.yaml: the sweep has no runs"));
  CHECK_THAT(sweep("{grid: {a: '1,2'}, where: a > 5}"), Contains("the sweep has no runs"));
  CHECK_THAT(sweep("{grid: {a: 'range(1000)', b: 'range(1000)'}}"), Contains("more than 100000 runs"));
  CHECK_THAT(sweep("{seed: 3}"), Contains("config.yaml:3:8") && Contains("sweeps nothing"));
  CHECK_THAT(sweep("{zip: {a: '1,2', b: '1,2,3'}}"), Contains("'a' (2 values) and 'b' (3 values) differ in length"));
}

TEST_CASE("values that are still to be given are listed all at once", "[config][bad]") {
  CHECK_THAT(error_of({{"config.yaml", "a: \?\?\?\nb:\n  c: \?\?\?\n  d: ${a}\ne: 1\n"}}, {"e=1,2"}, true),
             Contains("resolving the run e=1") && Contains("\n  a\n  b.c\n  b.d ('a' is still \?\?\?)"));
}

TEST_CASE("D3: no two runs get one directory", "[config][bad][D3]") {
  const ConfigTree tree({{"config.yaml", "a: 1\nhydra: {sweep: {subdir: same}}\n"}});
  const Plan plan = tree.plan({"a=1,1,2"}, true);
  REQUIRE(plan.runs.size() == 3);
  CHECK(plan.runs[0].id != plan.runs[1].id);
  CHECK(plan.runs[1].id != plan.runs[2].id);
  REQUIRE(plan.warnings.size() == 2);
  CHECK_THAT(plan.warnings[0], Contains("config.yaml:2:25: hydra.sweep.subdir does not place runs"));
  CHECK_THAT(plan.warnings[1], Contains("the runs [a=1] and [a=1] are the same"));
  CHECK(tree.plan({"a=1,1,2", "sweep.dedup=true"}, true).runs.size() == 2);
}
