#include "core/run/memory.h"

#include <cstdlib>

#include "core/base/free_memory.h"
#include "tests/support/catch.h"
#include "tests/support/toy.h"

using namespace mneme;
using namespace mneme::run;

namespace {
/// Steps that take hundreds of times the memory of the program, on paper.
constexpr model::TrainingCase kLarge{.rows = 1 << 22, .labels = 1 << 10};

RunOptions options_of(std::int64_t batch, std::int64_t accumulation = 1) {
  RunOptions options;
  options.train.batch_size = batch;
  options.train.accumulation = accumulation;
  return options;
}
}  // namespace

TEST_CASE("the largest micro-batch holds the longest rows of one task", "[memory]") {
  const std::vector<std::vector<int>> tasks = {{9, 1, 2}, {5, 6, 4, 6}, {}, {8, 3}};
  std::uint32_t capabilities = kNoCapability;
  const auto largest = [&](std::int64_t batch, std::int64_t accumulation) {
    return largest_micro_batch(options_of(batch, accumulation).train, tasks, capabilities, [](int row) { return row; });
  };
  CHECK(largest(1, 1) == std::vector{9});
  CHECK(largest(2, 1) == std::vector{6, 6});  // 9 + 2 and 8 + 3 are less
  CHECK(largest(5, 3) == std::vector{6, 6});  // micro-batches of 2, 2 and 1
  CHECK(largest(100, 1) == std::vector{6, 6, 5, 4});
  capabilities = kJointTraining;
  CHECK(largest(3, 1) == std::vector{9, 8, 6});
  CHECK(largest(3, 2) == std::vector{9, 8});
  capabilities = kStoresExamples;
  CHECK(largest(2, 1) == std::vector{6, 6, 9, 8});
}

TEST_CASE("a training case counts what the learner will train", "[memory]") {
  const auto model = test::toy_model();
  RunOptions options = options_of(2);
  options.adapter.lora = {.rank = 3, .targets = {"all-linear"}, .first_layer = 1};
  test::VectorSink sink;
  Learner learner(model, {.adapter = options.adapter}, sink);
  learner.bank().set_trainable({learner.create_adapter("one")});
  model::TrainingCase step = training_case(options, model->config(), {{5, 2}, {4, 1}});
  CHECK(step.trained == learner.bank().values().numel());
  CHECK(step.rows == 12);
  CHECK(step.source_rows == 0);
  CHECK(step.labels == 3);
  CHECK_FALSE(step.full);
  options.adapter.kind = "full";
  step = training_case(options, model->config(), {{5, 2}});
  CHECK(step.full);
  CHECK(step.trained == model->parameter_count());
}

TEST_CASE("activations are computed again where the memory asks for it, or as the options say", "[memory]") {
  const auto model = test::toy_model();
  RunOptions options = options_of(1);
  model::TrainingCase step = kLarge;
  step.adapted = {0};
  const auto bytes = static_cast<std::int64_t>(model::estimate_memory(model->config(), step).total());
  CHECK(wants_recompute(options, model->config(), step, bytes));  // nine tenths are less
  CHECK_FALSE(wants_recompute(options, model->config(), step, 2 * bytes));
  CHECK_FALSE(wants_recompute(options, model->config(), step, 0));  // unknown
  options.recompute = "never";
  CHECK_FALSE(wants_recompute(options, model->config(), step, 1));
  options.recompute = "always";
  CHECK(wants_recompute(options, model->config(), step, 2 * bytes));
}

TEST_CASE("a run's memory is what its launcher lends it, else what is free", "[memory]") {
  ::unsetenv("MNEME_MEMORY_LIMIT");
  CHECK(static_cast<double>(memory_limit()) == Approx(static_cast<double>(free_memory())).epsilon(0.5));
  CHECK(memory_limit() > 1 << 20);
  ::setenv("MNEME_MEMORY_LIMIT", "12345", 1);
  CHECK(memory_limit() == 12345);
  ::setenv("MNEME_MEMORY_LIMIT", "much", 1);
  CHECK(memory_limit() > 1 << 20);
  ::unsetenv("MNEME_MEMORY_LIMIT");
}
