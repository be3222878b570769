#include <map>
#include <nlohmann/json.hpp>

#include "core/base/file.h"
#include "core/base/hash.h"
#include "tests/support/catch.h"
#include "tests/support/program.h"
#include "tests/support/temporary_directory.h"

using namespace mneme;
using Catch::Contains;
using test::Outcome;
namespace fs = std::filesystem;

namespace {
Outcome data(const std::string& arguments, bool errors = true) {
  return test::run_program("mneme", "data " + arguments, errors);
}

/// Made-up rows of the four tasks of standard4_1.
void write_standard4(const fs::path& root) {
  const char* rows[][3] = {
      {"dbpedia", "Company, Educational Institution, …, Written Work \\nBody", "Plant"},
      {"amazon", "Option: very negative, negative, neutral, positive, very positive \\nBody", "neutral"},
      {"yahoo", "Society & Culture, …, Politics & Government \\nBody", "Health"},
      {"agnews", "Option: World, Sports, Business, Science or Technology \\nBody", "World"}};
  for (const auto& [name, prompt, answer] : rows) {
    fs::create_directories(root / "long15" / name);
    for (const char* split : {"train", "eval", "test"})
      write_file_atomically(root / "long15" / name / fmt::format("{}.json", split),
                            fmt::format(R"([{{"prompt": "{}\nAnswer:", "answer": "{}"}}])", prompt, answer));
  }
}
}  // namespace

TEST_CASE("mneme data list shows every stream and whether its files are there", "[command]") {
  const test::TemporaryDirectory root("data-command");
  write_standard4(root.path());
  const Outcome json = data("list data.root=" + root.path().string() + " --format json", false);
  REQUIRE(json.code == 0);
  std::map<std::string, nlohmann::json> streams;
  for (const auto& stream : nlohmann::json::parse(json.output)) streams[stream["name"]] = stream;
  CHECK(streams["standard4_1"]["missing_files"] == 0);
  CHECK(streams["standard4_1"]["tasks"] == nlohmann::json::array({"dbpedia", "amazon", "yahoo", "agnews"}));
  CHECK(streams["long15_a"]["missing_files"] == 33);
  CHECK(streams["ilora8"]["tasks"].size() == 8);
  CHECK_FALSE(streams.contains("_long15_tasks"));
  CHECK_THAT(data("list").output, Contains("ilora8         8 tasks  24 files missing"));
}

TEST_CASE("mneme data check loads every row", "[command]") {
  const test::TemporaryDirectory root("data-command");
  write_standard4(root.path());
  const std::string where = "data.root=" + root.path().string();
  const Outcome good = data("check standard4_1 " + where + " --format json", false);
  CHECK(good.code == 0);
  const auto report = nlohmann::json::parse(good.output);
  REQUIRE(report["splits"].size() == 12);
  CHECK(report["splits"][0]["task"] == "dbpedia");
  CHECK(report["splits"][0]["rows"] == 1);
  CHECK(report["splits"][0]["sha256"] == sha256_file((root / "long15/dbpedia/train.json").string()));
  CHECK(report["splits"][11]["answer_longest"] == 5);
  CHECK(report["missing"].empty());

  fs::remove(root / "long15/amazon/eval.json");
  write_file_atomically(root / "long15/yahoo/test.json", R"([{"prompt": "x", "answer": "Helth"}])");
  const Outcome bad = data("check standard4_1 " + where);
  CHECK(bad.code == 1);
  CHECK_THAT(bad.output, Contains("1 files are missing; set data.root to the directory that holds long15/") &&
                             Contains("long15/amazon/eval.json") && Contains("benchmarks/long15/README.md"));
  CHECK_THAT(bad.output, Contains("yahoo          test   wrong, see below"));
  CHECK_THAT(bad.output,
             Contains("yahoo/test.json: test row 0: the answer 'Helth' is not one of the task's 10 labels"));
  CHECK_THAT(bad.output, Contains("while loading test of task 'yahoo'"));
}

TEST_CASE("mneme data show prints tasks and rows", "[command]") {
  const test::TemporaryDirectory root("data-command");
  write_standard4(root.path());
  const std::string where = "data.root=" + root.path().string();
  const Outcome text = data("show standard4_1 " + where);
  CHECK(text.code == 0);
  CHECK_THAT(text.output,
             Contains("agnews\n  metric exact_match, at most 50 new tokens\n  labels World, Sports, Business") &&
                 Contains("Science or Technology \\nBody\\nAnswer:\n    => World"));
  const Outcome json =
      data("show standard4_1 " + where + " stream.tasks.agnews.max_new_tokens=7 --rows 0 --format json", false);
  const auto shown = nlohmann::json::parse(json.output);
  CHECK(shown["tasks"][3]["max_new_tokens"] == 7);
  CHECK(shown["tasks"][3]["rows"]["train"] == 1);
  CHECK(shown["tasks"][3]["examples"].empty());
}

TEST_CASE("mneme data says what is wrong, with the exit code of the cause", "[command]") {
  CHECK(data("").code == 2);
  CHECK(data("show").code == 2);
  CHECK(data("shwo ilora8").code == 2);
  CHECK(data("show ilora8 --rows x").code == 2);
  CHECK(data("show ilora8 --row 3").code == 2);
  CHECK_THAT(data("show ilora9").output, Contains("unknown stream 'ilora9'; did you mean 'ilora8'?"));
  CHECK(data("show ilora9").code == 2);
  const Outcome missing = data("show ilora8 data.root=/nowhere");
  CHECK(missing.code == 1);
  CHECK_THAT(missing.output, Contains("stream 'ilora8': 24 data files are missing"));
  const Outcome unknown = data("check ilora8 stream.max_trian=3");
  CHECK(unknown.code == 1);
  CHECK_THAT(unknown.output, Contains("stream.max_trian") && Contains("did you mean 'stream.max_train'?"));
  CHECK_THAT(data("check ilora8 +stream.tasks.FOMC.metrik=3").output,
             Contains("nothing reads this key; did you mean 'metric'?"));
  CHECK(data("--help").code == 0);
}
