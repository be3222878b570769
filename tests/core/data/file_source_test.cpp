#include "core/data/file_source.h"

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/hash.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"

using namespace mneme;
using namespace mneme::data;

namespace {
struct Fixture {
  test::TemporaryDirectory directory{"file-source-test"};
  TaskSpec spec;

  Fixture() {
    spec.name = "toy";
    spec.metric = "accuracy";
  }
  void write(const std::string& name, const std::string& text) const { write_file_atomically(directory / name, text); }
  std::vector<Example> load(Split split = Split::kTrain) const {
    return FileSource(spec, {directory.path(), {0, 0, 0}, 42}).load(split);
  }
  void refuse(const std::string& text, const std::string& message) const {
    write("train.json", text);
    INFO(text << "\n" << message);
    CHECK_THROWS_AS(load(), DataError);
    CHECK_THROWS_WITH(load(), Catch::Contains(message));
  }
};
}  // namespace

TEST_CASE("a split is read with its side files", "[file_source]") {
  const Fixture f;
  f.write("test.json", R"([{"prompt": "p\u00e9", "answer": "a"}, {"prompt": "q", "answer": "b"}])");
  f.write("test_refs.json", R"([["a"], ["b", "c"]])");
  f.write("test_ids.json", R"(["d1|0|slot", "d2"])");
  const auto rows = f.load(Split::kTest);
  REQUIRE(rows.size() == 2);
  CHECK(rows[0] == Example{"d1|0|slot", "pé", "a", {"a"}, "pé", "d1|0"});
  CHECK(rows[1] == Example{"d2", "q", "b", {"b", "c"}, "q", ""});
  const FileSource source(f.spec, {f.directory.path(), {0, 0, 0}, 42});
  CHECK(source.sha256(Split::kTest) == sha256_file((f.directory / "test.json").string()));
}

TEST_CASE("a limit takes rows of the file, in its order", "[file_source]") {
  const Fixture f;
  std::string text;
  for (int i = 0; i < 20; ++i) text += fmt::format("{}{{\"prompt\": \"p{}\", \"answer\": \"a\"}}", i ? "," : "[", i);
  f.write("train.json", text + "]");
  const auto rows = FileSource(f.spec, {f.directory.path(), {5, 0, 0}, 42}).load(Split::kTrain);
  REQUIRE(rows.size() == 5);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    CHECK(rows[i].prompt == "p" + rows[i].row_id);
    if (i > 0) CHECK(std::stoi(rows[i - 1].row_id) < std::stoi(rows[i].row_id));
  }
}

TEST_CASE("malformed files are refused with file and place", "[file_source]") {
  const Fixture f;
  CHECK_THROWS_WITH(f.load(), Catch::Contains("train.json: cannot be read"));
  f.refuse("", "train.json:1:1: is not JSON here");
  f.refuse("[{\"prompt\": \"p\", \"answer\": \"a\"},\n {\"prompt\": \"p\"", "train.json:2:16: is not JSON here");
  f.refuse("[{\"prompt\": \"p\", \"answer\": 1e999}]", "train.json: is not JSON: number overflow");
  f.refuse(std::string(90'000, '[') + std::string(90'000, ']'), "train.json: is nested 90000 deep");
  f.refuse("{}", "train.json: holds object; expected a JSON array");
  f.refuse("[]", "train.json: has no rows");
  f.refuse("[{\"prompt\": \"p\xFF\", \"answer\": \"a\"}]", "train.json:1:15: is not valid UTF-8");
}

TEST_CASE("malformed rows are refused with file and row", "[file_source]") {
  const Fixture f;
  f.refuse("[3]", "train.json: row 0: is number; expected {\"prompt\": string");
  f.refuse(R"([{"prompt": "p", "answer": "a"}, {"prompt": "p"}])", "train.json: row 1: has no \"answer\"");
  f.refuse(R"([{"prompt": "p", "answer": 4}])", "row 0: \"answer\" is number 4; expected a string");
  f.refuse(R"([{"prompt": null, "answer": "a"}])", "\"prompt\" is null null; expected a string");
  f.refuse(R"([{"prompt": "p", "answer": "a", "anwser": "b"}])", "unknown key \"anwser\"; did you mean 'answer'?");
  f.refuse(R"([{"prompt": "", "answer": "a"}])", "train row 0: \"prompt\" is empty");
}

TEST_CASE("side files must be parallel to the rows", "[file_source]") {
  const Fixture f;
  f.write("test.json", R"([{"prompt": "p", "answer": "a"}, {"prompt": "q", "answer": "b"}])");
  f.write("test_refs.json", R"([["a"]])");
  CHECK_THROWS_WITH(f.load(Split::kTest), Catch::Contains("test_refs.json: has 1 entries, but ") &&
                                              Catch::Contains("test.json has 2 rows; the two must be parallel"));
  f.write("test_refs.json", R"([["a"], []])");
  CHECK_THROWS_WITH(f.load(Split::kTest),
                    Catch::Contains("test_refs.json: row 1: is []; expected an array of at least one"));
  f.write("test_refs.json", R"([["a"], ["b", 3]])");
  CHECK_THROWS_WITH(f.load(Split::kTest), Catch::Contains("test_refs.json: row 1"));
  f.write("test_refs.json", R"([["a"], ["b"]])");
  f.write("test_ids.json", R"(["x", "x"])");
  CHECK_THROWS_WITH(f.load(Split::kTest), Catch::Contains("test row 1: the row id 'x' is there twice"));
  f.write("test_ids.json", R"(["x", 3])");
  CHECK_THROWS_WITH(f.load(Split::kTest), Catch::Contains("test_ids.json: row 1: is 3; expected a string"));
  f.write("test_ids.json", R"(["x"])");
  CHECK_THROWS_WITH(f.load(Split::kTest), Catch::Contains("test_ids.json: has 1 entries"));
}
