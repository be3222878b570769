#include <cstdlib>

#include "core/base/error.h"
#include "core/config/selftest.h"
#include "tests/core/config/config_tree.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::config;

namespace {
SelftestResult run_cases(const std::string& file) {
  return run_selftest(file, [](const std::string& mismatch) { UNSCOPED_INFO(mismatch); });
}
}  // namespace

TEST_CASE("recorded Hydra cases come out as in Hydra or as a deviation says", "[config][cases]") {
  const std::string folder = MNEME_SOURCE_DIR "/tests/parity/hydra/cases/";
  const SelftestResult parse = run_cases(folder + "parse.jsonl");
  CHECK(parse.failed == 0);
  CHECK(parse.passed > 800);
  CHECK(parse.deviations.at("D9") > 0);
  CHECK(parse.deviations.at("D19") > 0);
  const SelftestResult compose = run_cases(folder + "compose.jsonl");
  CHECK(compose.failed == 0);
  CHECK(compose.passed > 500);
  CHECK(compose.deviations.at("D14") > 0);
  const SelftestResult yaml = run_cases(folder + "yaml.jsonl");
  CHECK(yaml.failed == 0);
  CHECK(yaml.passed > 700);
}

TEST_CASE("further recorded cases, where MNEME_HYDRA_CASES names a file", "[config][cases]") {
  const char* file = std::getenv("MNEME_HYDRA_CASES");
  if (!file) {
    WARN("skipped: set MNEME_HYDRA_CASES to a file of recorded cases");
    return;
  }
  const SelftestResult result = run_cases(file);
  CHECK(result.failed == 0);
  CHECK(result.passed > 0);
}

TEST_CASE("the self-test reports what does not match", "[config][cases]") {
  const ConfigTree tree(
      {{"cases.jsonl",
        "{\"kind\": \"env\", \"hydra\": \"1.3.8\"}\n"
        "{\"kind\": \"parse\", \"in\": \"a=1\", \"ok\": true, \"op\": \"CHANGE\", \"key\": \"a\", \"pkg\": null, "
        "\"vt\": \"ELEMENT\", \"type\": \"int\", \"value\": 2}\n"
        "{\"kind\": \"parse\", \"in\": \"a=1\", \"ok\": false, \"err\": \"x\"}\n"
        "{\"kind\": \"yaml_scalar\", \"in\": \"1\", \"ok\": true, \"type\": \"float\", \"value\": 1}\n"
        "{\"kind\": \"yaml_scalar\", \"in\": \"on\", \"ok\": true, \"type\": \"bool\", \"value\": true}\n"}});
  std::vector<std::string> mismatches;
  const SelftestResult result =
      run_selftest(tree.root / "cases.jsonl", [&](const std::string& text) { mismatches.push_back(text); });
  CHECK(result.passed == 1);
  REQUIRE(result.failed == 3);
  CHECK_THAT(mismatches[0], Catch::Contains("cases.jsonl:2: parse \"a=1\": value is 1, expected 2"));
  CHECK_THAT(mismatches[1], Catch::Contains("but Hydra refuses it"));
  CHECK_THAT(mismatches[2], Catch::Contains("type is \"int\", expected \"float\""));
  tree.write("broken.jsonl", "{\"kind\": \"parse\"\n");
  CHECK_THROWS_WITH(run_selftest(tree.root / "broken.jsonl", [](const std::string&) {}),
                    Catch::Contains("broken.jsonl:1") && Catch::Contains("no valid JSON"));
}
