// `plugins check` on strategies that break the contract, each in one way; `plugins new` from nothing to a run.
#include <algorithm>
#include <cstdlib>

#include "core/base/file.h"
#include "tests/e2e/study.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::test;

namespace {
/// The checks that failed, by name.
std::vector<std::string> failed_checks(const std::string& output) {
  std::vector<std::string> failed;
  constexpr std::string_view kMark = "  FAILED  ";
  for (std::size_t at = 0; (at = output.find(kMark, at)) != output.npos; at += kMark.size()) {
    const std::size_t begin = at + kMark.size();
    failed.push_back(output.substr(begin, output.find('\n', begin) - begin));
  }
  return failed;
}

bool has(const std::vector<std::string>& list, const std::string& item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}
}  // namespace

TEST_CASE("a plugin that breaks the contract is told what it broke and why", "[plugins]") {
  const Study study;
  struct Case {
    std::string plugin, check, why;
  };
  const std::vector<Case> cases{
      {"unsteady", "training is deterministic and two instances never interact", "Learner::random()"},
      {"forgetful", "a run saved and loaded goes on bit for bit", "named in visit_state()"},
      {"vandal", "the frozen model is never edited", "the weights of the backbone are frozen"},
      {"thrower", "two tasks are learnt and answered within ten seconds", "the second basis has no rows"}};
  for (const auto& [plugin, check, why] : cases) {
    const launch::Captured checked = study.mneme({"plugins", "check", plugin});
    CAPTURE(plugin, checked.output, checked.error);
    CHECK(checked.exit.code == 1);
    CHECK(has(failed_checks(checked.output), check));
    CHECK(contains(checked.output, why));
    CHECK(contains(checked.output, "  ok      keys are unique, documented, and defaults lie in their ranges"));
  }
}

TEST_CASE("a plugin that keeps the contract passes, by name and by file", "[plugins]") {
  const Study study;
  const auto library = std::filesystem::path(MNEME_BINARY_DIR) / "lib/mneme/strategies/er.so";
  for (const std::string& plugin : {std::string("er"), library.string()}) {
    const launch::Captured checked = study.mneme({"plugins", "check", plugin});
    CAPTURE(checked.output);
    CHECK(checked.ok());
    CHECK(failed_checks(checked.output).empty());
    CHECK(checked.exit.seconds < 60);
  }
  const launch::Captured json = study.mneme({"plugins", "check", "forgetful", "--format", "json"});
  CHECK(json.exit.code == 1);
  CHECK(nlohmann::json::parse(json.output)["passed"] == false);
}

TEST_CASE("a new plugin builds, passes and runs", "[plugins]") {
  const Study study;
  REQUIRE(study.mneme({"plugins", "new", "mine", "--dir", "mine"}).ok());
  for (const char* file : {"mine.cpp", "mine.yaml", "CMakeLists.txt"})
    CHECK(std::filesystem::exists(study / "mine" / file));
  launch::ChildOptions build;
  build.directory = study / "mine";
  build.arguments = {"/bin/sh", "-c",
                     fmt::format("cmake --install '{}' --prefix ../prefix && cmake -S . -B build -G Ninja "
                                 "-DCMAKE_PREFIX_PATH=$PWD/../prefix && cmake --build build && "
                                 "ctest --test-dir build --output-on-failure",
                                 MNEME_BINARY_DIR)};
  build.log = study / "build.log";
  launch::Child child(build);
  const int code = wait_for(child).code;
  INFO(read_file(study / "build.log"));
  REQUIRE(code == 0);
  const std::string plugins = (study / "mine/build/lib/mneme/strategies").string();
  CHECK(study.mneme({"plugins", "check", "mine", "--plugin-path", plugins}).ok());
  const launch::Captured run =
      study.mneme({"run", "exp.yaml", "strategy=mine", "seed=1", "--plugin-path", plugins, "--out", "out"});
  INFO(run.error);
  CHECK(run.ok());
  const launch::Captured again = study.mneme({"plugins", "new", "mine", "--dir", "mine"});
  CHECK(again.exit.code == 1);
  CHECK(contains(again.error, "mine: is there already; remove it or give another --dir"));
  CHECK(contains(study.mneme({"plugins", "new", "My-Method"}).error, "'My-Method' is no strategy name"));
}
