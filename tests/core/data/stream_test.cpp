#include "core/data/stream.h"

#include <algorithm>
#include <map>

#include "core/base/error.h"
#include "core/base/file.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"

using namespace mneme;
using namespace mneme::data;
namespace fs = std::filesystem;

namespace {
TaskSpec spec(const std::string& name) {
  TaskSpec spec;
  spec.name = name;
  spec.metric = "accuracy";
  return spec;
}

StreamOptions options(const fs::path& root) {
  StreamOptions options;
  options.name = "toy";
  options.root = root;
  options.directory = "suite";
  options.tasks = {spec("one"), spec("two")};
  options.order = {"two", "one"};
  return options;
}

void write_splits(const fs::path& directory) {
  fs::create_directories(directory);
  for (const Split split : kSplits)
    write_file_atomically(directory / fmt::format("{}.json", to_string(split)),
                          fmt::format(R"([{{"prompt": "{}", "answer": "a"}}])", directory.filename().string()));
}

std::vector<Example> numbered(int n) {
  std::vector<Example> rows;
  for (int i = 0; i < n; ++i) rows.push_back({std::to_string(i), "p", "a", {"a"}, "p", ""});
  return rows;
}
}  // namespace

TEST_CASE("a stream has its tasks in order, each with its own rows", "[stream]") {
  const test::TemporaryDirectory root("stream-test");
  StreamOptions o = options(root.path());
  o.tasks[0].directory = "elsewhere";
  write_splits(root / "suite/elsewhere");
  write_splits(root / "suite/two");
  const Stream stream = load_stream(o);
  REQUIRE(stream.tasks.size() == 2);
  CHECK(stream.name == "toy");
  CHECK(stream.tasks[0].name() == "two");
  CHECK(stream.tasks[0].split(Split::kEval)[0].prompt == "two");
  CHECK(stream.tasks[1].split(Split::kTest)[0].prompt == "elsewhere");
  o.order.clear();
  CHECK(load_stream(o).tasks[0].name() == "one");
}

TEST_CASE("every missing file is named at once, with what to do", "[stream]") {
  const test::TemporaryDirectory root("stream-test");
  write_splits(root / "suite/two");
  fs::remove(root / "suite/two/eval.json");
  const StreamOptions o = options(root.path());
  CHECK(missing_files(o).size() == 4);
  CHECK_THROWS_AS(load_stream(o), DataError);
  CHECK_THROWS_WITH(load_stream(o), Catch::Contains("stream 'toy': 4 data files are missing; set data.root to") &&
                                        Catch::Contains("suite/two/eval.json") &&
                                        Catch::Contains("suite/one/train.json") &&
                                        Catch::Contains("benchmarks/suite/README.md"));
}

TEST_CASE("wrong stream options are refused", "[stream]") {
  const auto refuse = [](const auto& change, const std::string& message) {
    StreamOptions o = options("/nowhere");
    change(o);
    INFO(message);
    CHECK_THROWS_AS(load_stream(o), DataError);
    CHECK_THROWS_WITH(load_stream(o), Catch::Contains(message));
  };
  refuse([](auto& o) { o.order = {"one", "tow"}; }, "the order names an unknown task 'tow'; did you mean 'two'?");
  refuse([](auto& o) { o.order = {"one", "one"}; }, "the order names task 'one' twice");
  refuse([](auto& o) { o.tasks.push_back(spec("one")); }, "defines task 'one' twice");
  refuse([](auto& o) { o.tasks.clear(), o.order.clear(); }, "stream 'toy' has no tasks");
  refuse([](auto& o) { o.tasks[0].metric = ""; }, "task 'one' has no metric");
  refuse([](auto& o) { o.tasks[0].metric = "acuracy"; }, "unknown text metric 'acuracy'; did you mean 'accuracy'?");
  refuse([](auto& o) { o.tasks[1].more_metrics = {"accuracy"}; }, "task 'two' names metric 'accuracy' twice");
  refuse([](auto& o) { o.tasks[1].max_new_tokens = 0; }, "max_new_tokens is 0; expected at least 1");
  refuse([](auto& o) { o.tasks[1].epochs = 0; }, "epochs is 0; expected at least 1");
}

TEST_CASE("subsets are nested, reproducible and in file order", "[stream]") {
  const auto ids = [](std::int64_t limit, std::uint64_t seed, const std::string& purpose) {
    std::vector<int> out;
    for (const Example& row : take_subset(numbered(100), limit, seed, purpose)) out.push_back(std::stoi(row.row_id));
    return out;
  };
  CHECK(ids(0, 1, "t").size() == 100);
  CHECK(ids(200, 1, "t").size() == 100);
  const auto ten = ids(10, 1, "t"), thirty = ids(30, 1, "t");
  CHECK(ten.size() == 10);
  CHECK(std::is_sorted(thirty.begin(), thirty.end()));
  CHECK(std::includes(thirty.begin(), thirty.end(), ten.begin(), ten.end()));
  CHECK(ids(10, 1, "t") == ten);
  CHECK(ids(10, 2, "t") != ten);
  CHECK(ids(10, 1, "u") != ten);
  CHECK_THROWS_WITH(take_subset(numbered(3), -1, 1, "toy/train"),
                    Catch::Contains("toy/train: the limit of rows is -1"));
}

TEST_CASE("a subset never splits a group", "[stream]") {
  auto rows = numbered(60);
  std::map<std::string, int> size;
  for (std::size_t i = 0; i < rows.size(); ++i) ++size[rows[i].group = fmt::format("g{}", i % 17)];
  for (const std::int64_t limit : {10, 25, 59}) {
    const auto subset = take_subset(rows, limit, 5, "toy");
    CHECK(static_cast<std::int64_t>(subset.size()) <= limit);
    std::map<std::string, int> taken;
    for (const Example& row : subset) ++taken[row.group];
    for (const auto& [group, count] : taken) CHECK(count == size[group]);
  }
  CHECK_THROWS_WITH(take_subset(rows, 2, 5, "toy"),
                    Catch::Contains("a limit of 2 rows is smaller than the first group"));
}
