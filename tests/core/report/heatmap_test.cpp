#include "core/report/heatmap.h"

#include <cmath>

#include "tests/core/report/sample_sweep.h"
#include "tests/support/catch.h"
#include "tests/support/golden.h"

using namespace mneme;
using namespace mneme::report;
using Catch::Contains;
using test::TemporaryDirectory;

namespace {
std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++count;
  return count;
}
}  // namespace

TEST_CASE("the matrix of a group is the mean of its finished runs", "[heatmap]") {
  TemporaryDirectory directory("panels");
  test::write_sweep(directory / "sweep");
  const auto panels = make_panels(load_results({directory.path()}), {});
  REQUIRE(panels.size() == 3);
  CHECK(panels[0].title == "ewc");
  CHECK(panels[0].n == 2);
  CHECK(panels[2].title == "seq");
  CHECK(panels[2].mean[3][0] == Approx(0.82 - 0.4));
  CHECK(panels[2].mean[0][1] == Approx(0.25));
  CHECK(std::isnan(mean_of_seen(panels[2], 0)));
  CHECK(mean_of_seen(panels[2], 3) == Approx(0.62));
}

TEST_CASE("runs of other task orders are not averaged", "[heatmap]") {
  TemporaryDirectory directory("orders");
  test::write_result(directory.path(), {.strategy = "seq", .seed = 1, .tasks = {"a", "b"}});
  test::write_result(directory.path(), {.strategy = "seq", .seed = 2, .tasks = {"b", "a"}});
  const auto panels = make_panels(load_results({directory.path()}), {});
  REQUIRE(panels.size() == 2);
  CHECK(panels[0].tasks == std::vector<std::string>{"a", "b"});
  CHECK(panels[1].n == 1);
}

TEST_CASE("the picture of R marks what was learnt, and what was not evaluated", "[heatmap][golden]") {
  const double nan = std::nan("");
  const MatrixPanel panel{"seq <1>", {"news", "a long name & more"}, {{0.25, nan}, {0.9, 0.2}, {0.4, 0.8}}, 3};
  const std::string svg = heatmap_svg({panel, panel});
  CHECK_THAT(svg, Contains("seq &lt;1&gt;") && Contains("a long name &amp; more") && Contains("mean of 3 runs"));
  CHECK(count_of(svg, "fill=\"url(#none)\"") == 3);     // one cell in each panel, and the legend
  CHECK(count_of(svg, "stroke-width=\"2\"/>\n") == 5);  // two diagonal cells in each, and the legend
  CHECK_THAT(svg, Contains(">40</text>") && Contains(">60</text>"));
  CHECK(svg == heatmap_svg({panel, panel}));
  CHECK(svg == test::golden("table/heatmap.svg", svg));
}
