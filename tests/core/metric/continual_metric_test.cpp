#include "core/metric/continual_metric.h"

#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "core/base/random.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::metric;

namespace {
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
using Row = std::vector<double>;

double value(const std::string& id, const ContinualInput& input) { return continual_metric(id).value(input); }

/// R of T tasks with a given diagonal and last row and nothing else.
ContinualInput published(const Row& diagonal, const Row& last) {
  const std::size_t t = last.size();
  ContinualInput input{std::vector<Row>(t + 1, Row(t, kNaN)), {}};
  for (std::size_t j = 0; j < diagonal.size(); ++j) input.scores[j + 1][j] = diagonal[j];
  input.scores[t] = last;
  return input;
}

/// Three tasks, every cell different.
ContinualInput three_tasks() {
  return {{{0.10, 0.20, 0.30}, {0.80, 0.25, 0.35}, {0.60, 0.70, 0.45}, {0.50, 0.75, 0.90}}, {0.85, 0.65, 0.95}};
}
}  // namespace

TEST_CASE("published TRACE tables give their published averages", "[continual]") {
  // TRACE paper, Llama-2-7B-chat; tasks in the published order.
  const Row seq_diagonal{.50, .735, .523, .58, .764, .383, .582, .408};
  const Row seq_last{.454, .609, .457, .512, .637, .272, .548, .408};
  const Row lora_diagonal{.511, .713, .51, .578, .68, .37, .486, .37};
  const Row lora_last{.277, .24, .121, .004, 0, 0, 0, .37};
  const Row replay_last{.50, .80, .51, .55, .785, .37, .52, .406};
  const auto seq = published(seq_diagonal, seq_last), lora = published(lora_diagonal, lora_last);
  CHECK(value("aa.last", seq) == Approx(.487).margin(5e-4));
  CHECK(value("bwt.gem", seq) == Approx(-.0826).margin(5e-5));
  CHECK(value("aa.last", lora) == Approx(.1265).margin(5e-5));
  CHECK(value("bwt.gem", lora) == Approx(-.458).margin(5e-4));
  CHECK(value("aa.last", published({}, replay_last)) == Approx(.555).margin(5e-4));
  CHECK(std::isnan(value("bwt.gem", published({}, replay_last))));
  const Row in_context{.40, .483, .198, .522, .628, .284, .203, .395};
  CHECK(value("aa.last", published({}, in_context)) == Approx(.389).margin(5e-4));
  const Row with_reasoning{.522, .516, .343, .527, .598, .469, .354, .402};
  CHECK(value("aa.last", published({}, with_reasoning)) == Approx(.466).margin(5e-4));
}

TEST_CASE("O-LoRA's logs give their mean over tasks", "[continual]") {
  const Row order1{.9774, .5607, .7104, .8862};
  CHECK(value("aa.last", published({}, order1)) == Approx(.7837).margin(5e-5));
  const Row long15{.6214, .60, .6124, .7321, .64, .7279, .6968, .9493, .9197, .9841, .8642, .652, .6114, .6945, .5204};
  CHECK(value("aa.last", published({}, long15)) == Approx(.7217).margin(1e-4));
}

TEST_CASE("every continual metric on a matrix worked out by hand", "[continual]") {
  const ContinualInput r = three_tasks();
  CHECK(value("aa.last", r) == Approx((.50 + .75 + .90) / 3));
  CHECK(value("aa.incr", r) == Approx((.80 + (.60 + .70) / 2 + (.50 + .75 + .90) / 3) / 3));
  CHECK(value("aa.zero", r) == Approx((.10 + .20 + .30) / 3));
  CHECK(value("bwt.gem", r) == Approx((-.30 + .05) / 2));
  CHECK(value("bwt.sapt", r) == Approx((-.30 + .05) / 3));
  CHECK(value("bwt.treelora", r) == Approx(-.30 / 3));
  CHECK(value("fgt.diag", r) == Approx((.30 - .05) / 2));
  CHECK(value("fgt.max", r) == Approx((.30 - .05) / 2));
  CHECK(value("fgt.sapt", r) == Approx((.30 - .05) / 2));
  CHECK(value("fwt.gem", r) == Approx(((.25 - .20) + (.45 - .30)) / 2));
  CHECK(value("fwt.kif", r) == Approx((.25 + .45) / 2));
  CHECK(value("fwt.single", r) == Approx((-.05 + .05 - .05) / 3));
  CHECK(value("intransigence", r) == Approx(.05 / 3));
  CHECK(value("plasticity", r) == Approx((.80 + .70 + .90) / 3));
}

TEST_CASE("the forgetting variants differ where their definitions do", "[continual]") {
  // Task 1 gets better before it is forgotten; task 2 was best before it was trained.
  const ContinualInput r{{{0, 0, 0}, {.5, .9, .1}, {.7, .6, .2}, {.4, .5, .8}}, {}};
  CHECK(value("fgt.diag", r) == Approx(((.5 - .4) + (.6 - .5)) / 2));
  CHECK(value("fgt.max", r) == Approx(((.7 - .4) + (.6 - .5)) / 2));
  CHECK(value("fgt.sapt", r) == Approx(((.7 - .4) + (.9 - .5)) / 2));
  ContinualInput lower = r;
  lower.scores[1][1] = kNaN;  // as SAPT stores it: not evaluated before its own stage
  CHECK(value("fgt.sapt", lower) == Approx(value("fgt.max", r)));
  lower.scores[2][0] = kNaN;  // but a cell after training must be there
  CHECK(std::isnan(value("fgt.sapt", lower)));
  CHECK(std::isnan(value("fgt.max", lower)));
}

TEST_CASE("a matrix of row 0 and the last row alone has averages but no transfer", "[continual]") {
  ContinualInput joint = three_tasks();
  joint.scores[1] = joint.scores[2] = Row(3, kNaN);
  CHECK(value("aa.last", joint) == Approx((.50 + .75 + .90) / 3));
  CHECK(value("aa.zero", joint) == Approx(.20));
  for (const char* id : {"aa.incr", "bwt.gem", "bwt.sapt", "bwt.treelora", "fgt.diag", "fgt.max", "fgt.sapt", "fwt.gem",
                         "fwt.kif", "fwt.single", "intransigence", "plasticity"}) {
    INFO(id);
    CHECK(std::isnan(value(id, joint)));
  }
}

TEST_CASE("single-task scores are needed only where the formula has them", "[continual]") {
  ContinualInput r = three_tasks();
  r.single.clear();
  for (const ContinualMetric& metric : continual_metrics()) {
    INFO(metric.id);
    CHECK(std::isnan(metric.value(r)) == metric.needs_single);
  }
}

TEST_CASE("one task has an average and no transfer", "[continual]") {
  const ContinualInput one{{{.1}, {.9}}, {}};
  CHECK(value("aa.last", one) == .9);
  CHECK(value("aa.incr", one) == .9);
  CHECK(std::isnan(value("bwt.gem", one)));
  CHECK(std::isnan(value("fgt.max", one)));
  CHECK(std::isnan(value("fwt.gem", one)));
}

TEST_CASE("transfer is zero for a model that never changes", "[continual][property]") {
  RandomStream random(11, "constant columns");
  for (int round = 0; round < 50; ++round) {
    const std::size_t t = 2 + random.below(9);
    Row row(t);
    for (double& x : row) x = random.uniform();
    const ContinualInput r{std::vector<Row>(t + 1, row), row};
    for (const char* id : {"bwt.gem", "bwt.sapt", "bwt.treelora", "fgt.diag", "fgt.max", "fgt.sapt", "fwt.gem",
                           "fwt.single", "intransigence"}) {
      INFO(id << ", round " << round);
      CHECK(value(id, r) == 0);
    }
    CHECK(value("plasticity", r) == Approx(value("aa.last", r)));
  }
}

TEST_CASE("a matrix of the wrong shape and unknown ids are refused", "[continual]") {
  CHECK_THROWS_WITH(value("aa.last", {{}, {}}), Catch::Contains("R has 0 rows; expected T+1 with T >= 1"));
  CHECK_THROWS_WITH(value("aa.last", {{{.1, .2}, {.3}, {.4, .5}}, {}}),
                    Catch::Contains("row 1 has 1 columns; expected 2"));
  CHECK_THROWS_WITH(value("fwt.single", {{{.1}, {.2}}, {.1, .2}}), Catch::Contains("S has 2 values; expected 1"));
  CHECK_THROWS_AS(continual_metric("bwt.gme"), DataError);
  CHECK_THROWS_WITH(continual_metric("bwt.gme"), "unknown continual metric 'bwt.gme'; did you mean 'bwt.gem'?");
}
