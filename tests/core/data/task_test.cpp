#include "core/data/task.h"

#include <atomic>
#include <thread>

#include "core/base/error.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::data;

namespace {
TaskSpec spec() {
  TaskSpec spec;
  spec.name = "stance";
  spec.metric = "accuracy";
  spec.labels = {"A", "B"};
  spec.instruction = "Choose:\n";
  spec.cue = "\nAnswer:";
  return spec;
}

Example row(const std::string& body, const std::string& answer) {
  Example example;
  example.prompt = "Choose:\n" + body + "\nAnswer:";
  example.answer = answer;
  return example;
}

/// Counts how often it is asked.
class CountingSource final : public TaskSource {
 public:
  std::vector<Example> load(Split) const override {
    ++loads;
    return {row("x", "A")};
  }
  std::string sha256(Split split) const override { return std::string(to_string(split)); }
  mutable std::atomic<int> loads = 0;
};
}  // namespace

TEST_CASE("a task in memory completes its rows", "[task]") {
  const Task task = make_task(spec(), {row("one", "A"), row("two", "B")}, {row("three", "A")}, {});
  const auto train = task.split(Split::kTrain);
  REQUIRE(train.size() == 2);
  CHECK(train[1].row_id == "1");
  CHECK(train[1].references == std::vector<std::string>{"B"});
  CHECK(train[1].source == train[1].prompt);
  CHECK(task.split(Split::kEval).size() == 1);
  CHECK(task.split(Split::kTest).empty());
  CHECK(task.sha256(Split::kTrain) == rows_sha256(train));
  CHECK(task.sha256(Split::kTrain) != task.sha256(Split::kEval));
  CHECK(task.name() == "stance");
}

TEST_CASE("the source of a rewriting task can be the body alone", "[task]") {
  TaskSpec body = spec();
  body.source = SourceText::kBody;
  CHECK(make_task(body, {row("one", "A")}, {}, {}).split(Split::kTrain)[0].source == "one");
  Example given = row("one", "A");
  given.source = "given";
  CHECK(make_task(body, {given}, {}, {}).split(Split::kTrain)[0].source == "given");
}

TEST_CASE("rows are loaded once, also by several threads, and shared by copies", "[task]") {
  const auto source = std::make_shared<CountingSource>();
  const Task task(spec(), source);
  CHECK(source->loads == 0);
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) threads.emplace_back([&] { CHECK_NOTHROW(task.split(Split::kTest)); });
  for (auto& thread : threads) thread.join();
  CHECK(source->loads == 1);
  const Task copy = task.renamed("other");
  CHECK(copy.name() == "other");
  CHECK(task.name() == "stance");
  CHECK(copy.split(Split::kTest).data() == task.split(Split::kTest).data());
  CHECK(source->loads == 1);
  CHECK(task.sha256(Split::kEval) == "eval");
}

TEST_CASE("equal rows have equal hashes and any change shows", "[task]") {
  const std::vector<Example> rows{row("a", "A"), row("b", "B")};
  auto other = rows;
  CHECK(rows_sha256(rows) == rows_sha256(other));
  other[0].row_id = "x";
  CHECK(rows_sha256(rows) != rows_sha256(other));
  other = rows;
  other[1].references = {"B"};
  CHECK(rows_sha256(rows) != rows_sha256(other));
  // The same bytes split otherwise between fields.
  Example left, right;
  left.prompt = "ab", left.answer = "c";
  right.prompt = "a", right.answer = "bc";
  CHECK(rows_sha256(std::span(&left, 1)) != rows_sha256(std::span(&right, 1)));
}

TEST_CASE("wrong rows are refused with task, split and row", "[task]") {
  const auto refuse = [](const Example& bad, const std::string& message) {
    INFO(message);
    CHECK_THROWS_AS(make_task(spec(), {row("ok", "A"), bad}, {}, {}), DataError);
    CHECK_THROWS_WITH(make_task(spec(), {row("ok", "A"), bad}, {}, {}), Catch::Contains(message));
  };
  refuse(row("x", "C"), "task 'stance': train row 1: the answer 'C' is not one of the task's 2 labels: A, B");
  refuse(row("x", " "), "train row 1: \"answer\" is empty");
  refuse(row("\xFF", "A"), "train row 1: \"prompt\" is not valid UTF-8 at its byte 8");
  Example bad = row("x", "A");
  bad.prompt = " ";
  refuse(bad, "\"prompt\" is empty");
  bad.prompt = "Choose:\nx";
  refuse(bad, "the prompt does not have the task's instruction");
  bad.prompt = "\nAnswer: Choose:\n";
  refuse(bad, "does not have the task's instruction 'Choose:\n' and, behind it, its cue");
  bad = row("x", "A");
  bad.row_id = "0";
  refuse(bad, "the row id '0' is there twice");
  bad = row("x", "A");
  bad.references = {"A", ""};
  refuse(bad, "\"references\" is empty");
}

TEST_CASE("a prompt without the text to keep from is refused", "[task]") {
  TaskSpec choice = spec();
  choice.keep_from = "\nOptions:";
  CHECK_NOTHROW(make_task(choice, {row("x\nOptions: A", "A")}, {}, {}));
  CHECK_THROWS_WITH(make_task(choice, {row("x", "A")}, {}, {}),
                    Catch::Contains("train row 0: the prompt does not have the task's keep_from"));
}

TEST_CASE("rows that are scored together need groups, except in training", "[task]") {
  TaskSpec dialogue = spec();
  dialogue.metric = "jga";
  Example grouped = row("x", "A");
  grouped.group = "d|0";
  CHECK_NOTHROW(make_task(dialogue, {row("x", "A")}, {grouped}, {grouped}));
  CHECK_THROWS_WITH(make_task(dialogue, {}, {}, {row("x", "A")}),
                    Catch::Contains("test row 0: has no group, which metric 'jga'"));
}
