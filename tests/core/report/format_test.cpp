#include "core/report/format.h"

#include "core/base/error.h"
#include "core/report/grid.h"
#include "core/report/matrix.h"
#include "tests/core/report/sample_sweep.h"
#include "tests/support/catch.h"
#include "tests/support/golden.h"

using namespace mneme;
using namespace mneme::report;
using Catch::Contains;
using test::TemporaryDirectory;

TEST_CASE("a table is printed in every format as approved", "[format][golden]") {
  TemporaryDirectory directory("format");
  test::write_sweep(directory / "sweep");
  const Results results = load_results({directory.path()});
  const Table plain = make_table(results, {});
  const Table wide =
      make_table(results, {.rows = {"seed"}, .cols = {"strategy"}, .metrics = {"aa.last", "train_seconds"}});
  for (const char* format : {"text", "md", "csv", "latex", "json"}) {
    CAPTURE(format);
    CHECK(format_table(plain, format) ==
          test::golden(fmt::format("table/plain.{}", format), format_table(plain, format)));
    CHECK(format_table(wide, format) == test::golden(fmt::format("table/wide.{}", format), format_table(wide, format)));
  }
  std::string matrices;
  for (const MatrixPanel& panel : make_panels(results, {})) matrices += format_matrix(panel) + "\n";
  CHECK(matrices == test::golden("table/matrix.txt", matrices));
}

TEST_CASE("an unknown format is named", "[format]") {
  CHECK_THROWS_AS(format_table({}, "cvs"), UsageError);
  CHECK_THROWS_WITH(format_table({}, "cvs"), Contains("'cvs'; did you mean 'csv'?"));
}

TEST_CASE("names that a format gives a meaning to are escaped", "[format]") {
  Table table;
  table.row_keys = {"a,b"};
  table.columns.push_back({{.id = "task.x_1"}, {}});
  table.rows.push_back({{"50% \"o|lora\" & _co_"}, {Cell{.mean = -0.5, .n = 1}}, {1}, {}});
  CHECK(format_csv(table) == "\"a,b\",task.x_1,task.x_1.std\n\"50% \"\"o|lora\"\" & _co_\",-0.5,\n");
  CHECK_THAT(format_markdown(table), Contains("50% \"o\\|lora\" & \\_co\\_") && Contains("task.x\\_1"));
  CHECK_THAT(format_latex(table),
             Contains("50\\% \"o|lora\" \\& \\_co\\_") && Contains("task.x\\_1") && Contains("$-$50.0"));
}

TEST_CASE("costs are shown in a unit that fits the column", "[format]") {
  const auto shown = [](Unit unit, double value) {
    Table table;
    table.row_keys = {"strategy"};
    table.columns.push_back({{.id = "x", .unit = unit}, {}});
    table.rows.push_back({{"seq"}, {Cell{.mean = value, .n = 1}}, {1}, {}});
    const Grid grid = make_grid(table, {});
    return grid.header[1] + " " + grid.rows[0].cells[0].mean;
  };
  CHECK(shown(Unit::kSeconds, 91.5) == "x (s) 91.5");
  CHECK(shown(Unit::kSeconds, 7200) == "x (h) 2.00");
  CHECK(shown(Unit::kSeconds, 600) == "x (min) 10.0");
  CHECK(shown(Unit::kBytes, 1536) == "x (KiB) 1.50");
  CHECK(shown(Unit::kBytes, 12) == "x (B) 12");
  CHECK(shown(Unit::kCount, 7) == "x 7");
  CHECK(shown(Unit::kCount, 4.19e6) == "x (M) 4.19");
  CHECK(shown(Unit::kCount, 0) == "x 0");
  CHECK(shown(Unit::kScore, 0.1234) == "x 12.3");
}

TEST_CASE("texts are measured as a terminal shows them, and notes counted on", "[format]") {
  CHECK(display_width("café ±") == 6);
  CHECK(display_width("語") == 2);
  CHECK(display_width("e\xCC\x81") == 1);
  CHECK(note_mark(0) == "a");
  CHECK(note_mark(25) == "z");
  CHECK(note_mark(26) == "aa");
  CHECK(note_mark(27) == "ab");
}
