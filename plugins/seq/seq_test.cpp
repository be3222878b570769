#include <ATen/ATen.h>

#include "tests/support/catch.h"
#include "tests/support/toy.h"

using namespace mneme;
using namespace mneme::test;

TEST_CASE("seq trains one adapter through all tasks", "[seq]") {
  const auto run = trained("seq");
  CHECK(run->learner().bank().ids().size() == 1);
  CHECK(run->sink.steps.size() == 2 * 2 * 3);  // tasks, epochs, ceil(12 / 4)
  CHECK(run->sink.steps.back().task == 2);
  CHECK(run->sink.losses().back() < run->sink.losses().front());
}

TEST_CASE("seq goes on from the last task's weights", "[seq]") {
  ToyOptions options;
  options.train.epochs = 12;
  options.train.learning_rate = 2e-2;
  ToyRun run(make_strategy("seq"), options);
  run.train_stage(1);
  const at::Tensor after_first = run.all_values();
  const double first_task_loss = run.learner().mean_loss(run.learner().active(), run.view(1).train);
  run.train_stage(2);
  CHECK_FALSE(at::equal(after_first, run.all_values()));
  // The toy tasks want other answers to the same prompts: what the first task taught is lost.
  CHECK(run.learner().mean_loss(run.learner().active(), run.view(1).train) > first_task_loss);
}

TEST_CASE("moments are carried over only if asked", "[seq]") {
  ToyOptions fresh, carried;
  carried.train.optimizer_reset = "never";
  const auto a = trained("seq", {}, fresh), b = trained("seq", {}, carried);
  const auto la = a->sink.losses(), lb = b->sink.losses();
  const std::size_t half = la.size() / 2;
  CHECK(std::vector<double>(la.begin(), la.begin() + half) == std::vector<double>(lb.begin(), lb.begin() + half));
  CHECK(la.back() != lb.back());
}
