#include "core/report/connectivity.h"

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/record/writer.h"
#include "tests/support/catch.h"
#include "tests/support/golden.h"
#include "tests/support/program.h"
#include "tests/support/temporary_directory.h"

using namespace mneme;
using namespace mneme::report;
using Catch::Contains;
using test::TemporaryDirectory;

namespace {
/// A run of three tasks with three points on each path; the line climbs by `hill` in its middle.
void write_run(const std::filesystem::path& directory, double hill, bool with_paths = true) {
  RunInfo info;
  info.config = "seed: 1\n";
  info.run_id = "0123456789ab";
  for (const char* task : {"news", "sums <2>", "law"})
    info.tasks.push_back({task, "accuracy", 100, 10, 10, "", "", ""});
  std::filesystem::create_directories(directory);
  record::RecordWriter writer(directory / "run.h5");
  writer.begin(info);
  if (with_paths) {
    writer.array({"connectivity/line/loss/2", {3, 2}, {0.2, 1.0, 0.5 + hill, 0.6 + hill, 0.8, 0.2}});
    writer.array({"connectivity/line/accuracy/2", {3, 2}, {0.9, 0.1, 0.6, 0.5, 0.4, 0.9}});
    writer.array({"connectivity/curve/loss/2", {3, 2}, {0.2, 1.0, 0.3, 0.4, 0.8, 0.2}});
    writer.array({"connectivity/curve/accuracy/2", {3, 2}, {0.9, 0.1, 0.8, 0.8, 0.4, 0.9}});
    writer.array({"connectivity/line/loss/3", {3, 3}, {9, 0.2, 1.0, 9, 0.6, 0.6, 9, 0.8, 0.2}});
    writer.array({"connectivity/line/accuracy/3", {3, 3}, {0, 0.9, 0.1, 0, 0.6, 0.5, 0, 0.4, 0.9}});
  }
  writer.end(RunStatus::kDone, "");
}
}  // namespace

TEST_CASE("paths between minima are read from a record, with their barriers", "[connectivity]") {
  TemporaryDirectory directory("connectivity");
  write_run(directory / "run", 0.3);
  const auto panels = connectivity_panels(record::Record(directory / "run" / "run.h5"));
  REQUIRE(panels.size() == 2);
  CHECK(panels[0].tasks == std::vector<std::string>{"news", "sums <2>"});
  REQUIRE(panels[0].paths.size() == 2);
  // The means of the two tasks are 0.6, 0.85 and 0.5; halfway between the ends is 0.55.
  CHECK(barrier(panels[0].paths[0]) == Approx(0.3));
  CHECK(barrier(panels[0].paths[1]) == 0);
  CHECK(barrier(panels[1].paths[0]) == Approx(0.05));
  CHECK(panels[1].paths.size() == 1);
  CHECK_THAT(format_connectivity(panels), Contains("news to sums <2>:  line 0.300  curve 0.000"));
}

TEST_CASE("the picture of the paths", "[connectivity][golden]") {
  TemporaryDirectory directory("connectivity-svg");
  write_run(directory / "run", 0.3);
  const std::string svg = connectivity_svg(connectivity_panels(record::Record(directory / "run" / "run.h5")));
  CHECK_THAT(svg, Contains("news → sums &lt;2&gt;") && Contains("stroke-dasharray") && Contains("later task"));
  CHECK(svg == test::golden("table/connectivity.svg", svg));
}

TEST_CASE("mneme connectivity prints barriers, draws them, and says what is missing", "[command]") {
  TemporaryDirectory directory("connectivity-command");
  write_run(directory / "run", 0.3);
  write_run(directory / "bare", 0, false);
  const std::string svg = directory / "paths.svg";
  const auto drawn = test::run_program("mneme", "connectivity " + (directory / "run").string() + " --svg " + svg);
  CHECK(drawn.code == 0);
  CHECK_THAT(drawn.output, Contains("sums <2> to law"));
  CHECK_THAT(read_file(svg), Contains("<svg"));
  const auto bare = test::run_program("mneme", "connectivity " + (directory / "bare").string());
  CHECK(bare.code != 0);
  CHECK_THAT(bare.output, Contains("strategy.probe=true"));
  const auto both = test::run_program("mneme", "connectivity " + directory.path().string());
  CHECK(both.code == 2);
  CHECK_THAT(both.output, Contains("holds 2 records"));
}
