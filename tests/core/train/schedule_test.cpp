#include "core/train/schedule.h"

#include "core/base/error.h"
#include "tests/core/train/recorded.h"
#include "tests/support/catch.h"

using namespace mneme;

TEST_CASE("learning rates are those of transformers' schedules", "[train][parity]") {
  const nlohmann::json cases = test::recorded()["schedules"];
  REQUIRE(cases.size() == 15);
  for (const auto& c : cases) {
    TrainOptions options;
    options.schedule = c["schedule"];
    options.warmup_steps = c["warmup_steps"];
    options.warmup_ratio = c["warmup_ratio"];
    const auto factors = c["factors"].get<std::vector<double>>();
    const auto total = static_cast<std::int64_t>(factors.size());
    INFO(c.dump());
    for (std::int64_t step = 0; step < total; ++step)
      CHECK(learning_rate_factor(options, step, total) ==
            Approx(factors[static_cast<std::size_t>(step)]).epsilon(1e-12).margin(1e-15));
  }
}

TEST_CASE("warm-up steps win over the ratio, which is rounded up", "[train]") {
  TrainOptions options;
  CHECK(warmup_steps(options, 100) == 0);
  options.warmup_ratio = 0.03;
  CHECK(warmup_steps(options, 100) == 3);
  CHECK(warmup_steps(options, 101) == 4);
  options.warmup_steps = 7;
  CHECK(warmup_steps(options, 100) == 7);
}

TEST_CASE("schedules by hand: a warm-up of two steps, then eight", "[train]") {
  TrainOptions options;
  options.warmup_steps = 2;
  const auto factor = [&options](const char* schedule, std::int64_t step) {
    options.schedule = schedule;
    return learning_rate_factor(options, step, 10);
  };
  for (const char* schedule : {"constant", "linear", "cosine"}) {
    CHECK(factor(schedule, 0) == 0);
    CHECK(factor(schedule, 1) == 0.5);
    CHECK(factor(schedule, 2) == 1);
  }
  CHECK(factor("constant", 9) == 1);
  CHECK(factor("linear", 4) == Approx(0.75));
  CHECK(factor("linear", 9) == Approx(0.125));
  CHECK(factor("cosine", 6) == Approx(0.5));
  CHECK(factor("cosine", 4) == Approx(0.5 + 0.25 * std::sqrt(2.0)));
}

TEST_CASE("a warm-up as long as the phase or longer only rises", "[train]") {
  TrainOptions options;
  options.schedule = "linear";
  options.warmup_steps = 8;
  for (std::int64_t step = 0; step < 4; ++step)
    CHECK(learning_rate_factor(options, step, 4) == Approx(static_cast<double>(step) / 8));
}

TEST_CASE("a schedule that is not known is refused with those that are", "[train]") {
  TrainOptions options;
  options.schedule = "triangle";
  CHECK_THROWS_WITH(learning_rate_factor(options, 0, 1), Catch::Contains("'triangle'") && Catch::Contains("cosine"));
}
