#include "core/data/stream_check.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/base/file.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"

using namespace mneme;
using namespace mneme::data;
using Catch::Contains;

namespace {
/// A suite of one task in files.
struct Suite {
  test::TemporaryDirectory directory{"stream-check"};
  std::filesystem::path memory = directory / "cache/checked.json";

  Suite() {
    std::filesystem::create_directories(directory / "TASK");
    for (const char* split : {"train", "eval", "test"}) write(split, R"([{"prompt": "four", "answer": "4"}])");
  }
  void write(const std::string& split, const std::string& rows) const {
    write_file_atomically(directory / ("TASK/" + split + ".json"), rows);
  }
  StreamOptions options() const {
    StreamOptions options;
    options.name = "suite";
    options.root = directory.path();
    options.tasks.resize(1);
    options.tasks[0].name = "TASK";
    options.tasks[0].metric = "accuracy";
    return options;
  }
};
}  // namespace

TEST_CASE("the rows of a stream are measured and the first bad one is named", "[stream_check]") {
  const Suite suite;
  suite.write("train", R"([{"prompt": "four", "answer": "4"}, {"prompt": "é", "answer": "e5"}])");
  StreamChecker checker("");
  const auto sizes = checker.check(suite.options());
  REQUIRE(sizes.size() == 1);
  CHECK(sizes[0].split(Split::kTrain).rows == 2);
  CHECK(sizes[0].split(Split::kTrain).prompt_bytes == 6);
  CHECK(sizes[0].split(Split::kTrain).answer_bytes == 3);
  REQUIRE(sizes[0].split(Split::kTrain).longest.size() == 2);
  CHECK(sizes[0].split(Split::kTrain).longest[0].prompt_bytes == 4);
  CHECK(sizes[0].split(Split::kTrain).longest[1].answer_bytes == 2);
  CHECK(sizes[0].split(Split::kTrain).specimen == "four");
  suite.write("eval", R"([{"prompt": "four", "answer": "4"}, {"prompt": "", "answer": "5"}])");
  CHECK_THROWS_WITH(checker.check(suite.options()), Contains("eval.json: eval row 1: \"prompt\" is empty"));
  std::filesystem::remove(suite.directory / "TASK/test.json");
  CHECK_THROWS_WITH(checker.check(suite.options()), Contains("TASK/test.json"));
}

TEST_CASE("what was found good is remembered until file or spec changes", "[stream_check]") {
  const Suite suite;
  const auto file = suite.directory / "TASK/train.json";
  const auto time = std::filesystem::last_write_time(file);
  StreamChecker first(suite.memory);
  first.check(suite.options());
  first.save();
  // Other content under the same size and time is not seen: proof that the rows are not read again.
  const std::string good = read_file(file);
  suite.write("train", std::string(good.size(), '#'));
  std::filesystem::last_write_time(file, time);
  StreamChecker second(suite.memory);
  const SplitSize remembered = second.check(suite.options())[0].split(Split::kTrain);
  CHECK(remembered.rows == 1);
  REQUIRE(remembered.longest.size() == 1);
  CHECK(remembered.longest[0].prompt_bytes == 4);
  CHECK(remembered.longest[0].answer_bytes == 1);
  CHECK(remembered.specimen == "four");
  StreamOptions other = suite.options();
  other.tasks[0].labels = {"4", "5"};
  CHECK_THROWS_AS(second.check(other), DataError);
  std::filesystem::last_write_time(file, time + std::chrono::seconds(1));
  CHECK_THROWS_AS(second.check(suite.options()), DataError);
}

TEST_CASE("only the longest rows are kept, and the specimen ends with a whole character", "[stream_check]") {
  const Suite suite;
  std::string rows = "[";
  for (int i = 1; i <= 100; ++i)
    rows += fmt::format(R"({}{{"prompt": "a{}", "answer": "4"}})", i == 1 ? "" : ", ", std::string(25 * i, '-') + "é");
  std::string wide = "a";
  for (int i = 0; i < 3000; ++i) wide += "é";
  suite.write("train", rows + R"(, {"prompt": ")" + wide + R"(", "answer": "5"}])");
  StreamChecker checker("");
  const SplitSize size = checker.check(suite.options())[0].split(Split::kTrain);
  CHECK(size.rows == 101);
  REQUIRE(size.longest.size() == kLongestRows);
  CHECK(size.longest[0].prompt_bytes == 6001);
  CHECK(size.longest[1].prompt_bytes == 2503);
  CHECK(std::is_sorted(size.longest.rbegin(), size.longest.rend(),
                       [](const RowSize& a, const RowSize& b) { return a.bytes() < b.bytes(); }));
  CHECK(size.specimen == wide.substr(0, 4095));
}

TEST_CASE("a memory that is damaged or cannot be written does no harm", "[stream_check]") {
  const Suite suite;
  std::filesystem::create_directories(suite.memory.parent_path());
  for (const char* text : {"", "[1]", R"({"a": 1, "b": [1, 2, 3], "c": [{"rows": "x"}]})"}) {
    write_file_atomically(suite.memory, text);
    StreamChecker checker(suite.memory);
    CHECK(checker.check(suite.options()).size() == 1);
    checker.save();
  }
  StreamChecker nowhere("/proc/nowhere/checked.json");
  nowhere.check(suite.options());
  CHECK_NOTHROW(nowhere.save());
}

TEST_CASE("generated rows are counted, too", "[stream_check]") {
  StreamChecker checker("");
  const auto sizes = checker.check(Mini8Options{.train_rows = 12, .eval_rows = 4, .test_rows = 8, .order = {"law"}});
  REQUIRE(sizes.size() == 1);
  CHECK(sizes[0].spec.name == "law");
  CHECK(sizes[0].split(Split::kTrain).rows == 12);
  CHECK(sizes[0].split(Split::kTest).rows == 8);
  CHECK(sizes[0].split(Split::kEval).prompt_bytes > 100);
}
