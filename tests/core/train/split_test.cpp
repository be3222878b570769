#include "core/base/error.h"
#include "core/strategy/learner.h"
#include "core/strategy/sample.h"
#include "tests/support/catch.h"

using namespace mneme;

namespace {
/// Samples of these lengths whose last tokens are labels.
Dataset samples(const std::vector<std::pair<int, int>>& lengths_and_labels) {
  Dataset all;
  for (const auto& [length, labels] : lengths_and_labels) {
    Sample sample;
    for (int i = 0; i < length; ++i) sample.tokens.push_back(i % 7);
    sample.first_label = length - labels;
    all.push_back(std::make_shared<const Sample>(std::move(sample)));
  }
  return all;
}

double sum(const std::vector<StepBatch>& micro, const std::string& part, double Batch::*share) {
  double total = 0;
  for (const StepBatch& step : micro)
    if (const Batch* batch = step.find(part)) total += batch->*share;
  return total;
}
}  // namespace

TEST_CASE("a step is cut in order, and shares are parts of the whole", "[train]") {
  // Fed tokens: length - 1, since the last label is not fed.
  const StepParts parts = {{"current", samples({{5, 1}, {9, 4}, {3, 1}, {8, 2}, {4, 3}})}};
  const auto micro = split_step(parts, 2);
  REQUIRE(micro.size() == 2);
  CHECK(micro[0].current().size() == 2);
  CHECK(micro[1].current().size() == 3);
  CHECK(micro[0].current().samples[1] == parts.at("current")[1]);
  CHECK(micro[0].current().label_share == Approx(5.0 / 11));
  CHECK(micro[1].current().label_share == Approx(6.0 / 11));
  CHECK(micro[0].current().token_share == Approx(12.0 / 24));
  CHECK(micro[1].current().sequence_share == Approx(3.0 / 5));
  for (const StepBatch& step : micro) CHECK(step.step_share == 0.5);
}

TEST_CASE("there are never more micro-batches than samples, so that each has its part", "[train]") {
  const auto micro = split_step({{"current", samples({{5, 1}, {4, 2}})}}, 4);
  REQUIRE(micro.size() == 2);
  for (const StepBatch& step : micro) {
    CHECK(step.current().size() == 1);
    CHECK(step.step_share == 0.5);
  }
  CHECK(split_step({{"current", samples({{5, 1}})}}, 3).size() == 1);
}

TEST_CASE("every micro-batch has current samples, whatever the other parts have", "[train]") {
  const StepParts parts = {{"current", samples({{5, 1}, {6, 2}})},
                           {"replay", samples({{4, 1}, {4, 1}, {7, 3}, {4, 2}, {9, 1}})},
                           {"memory", samples({{3, 1}})}};
  const auto micro = split_step(parts, 4);
  REQUIRE(micro.size() == 2);
  for (const StepBatch& step : micro) {
    CHECK(step.current().size() == 1);
    CHECK(step.find("replay") != nullptr);
  }
  for (const char* part : {"current", "replay", "memory"}) {
    CHECK(sum(micro, part, &Batch::label_share) == Approx(1));
    CHECK(sum(micro, part, &Batch::token_share) == Approx(1));
    CHECK(sum(micro, part, &Batch::sequence_share) == Approx(1));
  }
}

TEST_CASE("a step without current samples is cut by its largest part; an empty one is empty", "[train]") {
  const auto micro = split_step({{"current", {}}, {"replay", samples({{4, 1}, {4, 1}, {7, 3}})}}, 2);
  REQUIRE(micro.size() == 2);
  CHECK(micro[0].find("current") == nullptr);
  CHECK_THROWS_WITH(micro[0].current(), Catch::Contains("'current'"));
  CHECK(micro[0].find("replay")->size() == 1);
  CHECK(micro[1].find("replay")->size() == 2);
  CHECK(split_step({}, 2).empty());
  CHECK(split_step({{"current", {}}}, 2).empty());
}

TEST_CASE("labels that nobody has have no share", "[train]") {
  const auto micro = split_step({{"current", samples({{4, 0}, {5, 0}})}}, 2);
  for (const StepBatch& step : micro) CHECK(step.current().label_share == 0);
  CHECK(sum(micro, "current", &Batch::token_share) == Approx(1));
}
