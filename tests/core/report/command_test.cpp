#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "tests/core/report/sample_sweep.h"
#include "tests/support/catch.h"

using namespace mneme;
using Catch::Contains;
using test::TemporaryDirectory;

namespace {
struct Outcome {
  int code = -1;
  std::string output;
};

/// Runs `mneme table` with the arguments; both streams if `errors`, else standard output alone.
Outcome run_table(const std::string& arguments, bool errors = true) {
  const std::string command =
      fmt::format("{}/bin/mneme table {} {}", MNEME_BINARY_DIR, arguments, errors ? "2>&1" : "2>/dev/null");
  std::FILE* pipe = ::popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  Outcome outcome;
  std::array<char, 4096> buffer;
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe))
    outcome.output.append(buffer.data(), n);
  outcome.code = WEXITSTATUS(::pclose(pipe));
  return outcome;
}
}  // namespace

TEST_CASE("mneme table prints tables, runs, matrices and pictures", "[command]") {
  TemporaryDirectory directory("command");
  test::write_sweep(directory / "sweep");
  const std::string sweep = directory / "sweep";
  const Outcome text = run_table(sweep + " --list");
  CHECK(text.code == 0);
  CHECK_THAT(text.output, Contains("aa.last") && Contains("62.0 ± 2.0") && Contains("strategy=ewc seed=1"));

  const Outcome json = run_table(sweep + " --format json --metrics aa.last,train_seconds", false);
  CHECK(json.code == 0);
  const auto rows = nlohmann::json::parse(json.output);
  REQUIRE(rows.size() == 3);
  CHECK(rows[2]["strategy"] == "seq");
  CHECK(rows[2]["n"] == 3);
  CHECK(rows[2]["aa.last"].get<double>() == Approx(0.62));
  CHECK(rows[2]["train_seconds.std"] == 0);
  CHECK_THAT(run_table(sweep + " --format csv").output, Contains("note: ewc: seed 3 failed"));

  const Outcome matrix = run_table(sweep + " --matrix --svg " + (directory / "r.svg").string());
  CHECK(matrix.code == 0);
  CHECK_THAT(matrix.output, Contains("after training") && Contains("note: ewc: seed 3 failed"));
  CHECK_THAT(read_file(directory / "r.svg"), Contains("</svg>"));
  CHECK_THAT(run_table("--help").output, Contains("usage: mneme table") && Contains("--metrics"));
}

TEST_CASE("mneme table fails with the exit code of the cause", "[command]") {
  TemporaryDirectory directory("command-fails");
  CHECK(run_table(directory.path()).code == 1);
  CHECK_THAT(run_table(directory / "none").output, Contains("no such directory"));
  CHECK(run_table("").code == 2);
  const Outcome unknown = run_table("--metrisc x " + directory.path().string());
  CHECK(unknown.code == 2);
  CHECK_THAT(unknown.output, Contains("metrisc"));
  CHECK(run_table("--digits 20 " + directory.path().string()).code == 2);
  test::write_sweep(directory / "sweep");
  CHECK(run_table("--metrics aa.last,,x " + directory.path().string()).code == 2);
  CHECK(run_table("--format cvs " + directory.path().string()).code == 2);
}
