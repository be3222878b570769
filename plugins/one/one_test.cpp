#include <ATen/ATen.h>

#include "tests/support/catch.h"
#include "tests/support/toy.h"

using namespace mneme;
using namespace mneme::test;

TEST_CASE("an adapter of one does not depend on the tasks before it", "[one]") {
  for (const char* reset : {"per_task", "never"}) {  // moments stay with their adapter
    ToyOptions options;
    options.train.optimizer_reset = reset;
    const auto both = trained("one", {}, options);
    // The same second task after a first one that is not trained at all.
    ToyRun second(make_strategy("one"), options);
    second.train_stage(2);
    const auto& bank = both->learner().bank();
    CHECK(at::equal(bank.values(bank.find("task2")),
                    second.learner().bank().values(second.learner().bank().find("task2"))));
  }
}

TEST_CASE("one answers old tasks as it did when it learnt them", "[one]") {
  ToyOptions options;
  options.tasks = 3;
  ToyRun run(make_strategy("one"), options);
  run.train_stage(1);
  const auto before = run.answers(true);
  run.train_stage(2);
  run.train_stage(3);
  const auto after = run.answers(true);
  CHECK(after[0] == before[0]);
  CHECK(run.learner().bank().ids().size() == 3);
}

TEST_CASE("one answers a task that it has not learnt with the bare model", "[one]") {
  ToyRun run(make_strategy("one"));
  const auto bare = run.answers(true);
  run.train_stage(1);
  CHECK(run.answers(true)[1] == bare[1]);
}
