#include "tests/support/catch.h"
#include "tests/support/toy.h"

using namespace mneme;
using namespace mneme::test;

TEST_CASE("mtl trains once on the union of the training sets", "[mtl]") {
  ToyOptions options;
  options.tasks = 3;
  const auto run = trained("mtl", {}, options);
  CHECK(run->stages() == 1);
  CHECK(run->view(1).train.size() == 36);
  CHECK(run->sink.steps.size() == 2 * 9);
  CHECK(run->sink.steps.back().task == 3);
}

TEST_CASE("mtl sees training samples and never held-out ones", "[mtl]") {
  ToyRun run(make_strategy("mtl"));
  const TaskView view = run.view(1);
  const auto data = run.strategy().training_data(run.learner(), view);
  for (const auto& sample : data) CHECK(std::find(view.eval.begin(), view.eval.end(), sample) == view.eval.end());
  CHECK(data == view.train);
}
