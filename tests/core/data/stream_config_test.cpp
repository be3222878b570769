#include "core/data/stream_config.h"

#include "core/base/error.h"
#include "core/config/yaml.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::data;

namespace {
constexpr const char* kWhole = R"(
kind: files
name: toy
root: /data
directory: suite
seed: 7
max_train: 100
order: [b, a]
tasks:
  a: {metric: accuracy, labels: ["True", "False"], max_new_tokens: 4, instruction: "Do:\n", cue: "\nSo:", epochs: 3}
  b: {metric: sari, more_metrics: [bleu4], source: body, cut_front: true, directory: long_name, epochs: null}
)";

StreamOptions parse(const std::string& text) { return stream_options(config::parse_yaml(text, "toy.yaml")); }

void refuse(std::string text, const std::string& from, const std::string& to, const std::string& message) {
  const auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  text.replace(at, from.size(), to);
  INFO(message);
  CHECK_THROWS_AS(parse(text), ConfigError);
  CHECK_THROWS_WITH(parse(text), Catch::Contains(message));
}
}  // namespace

TEST_CASE("a stream's options are read from its config group", "[stream_config]") {
  const StreamOptions o = parse(kWhole);
  CHECK(o.name == "toy");
  CHECK(o.root == "/data");
  CHECK(o.directory == "suite");
  CHECK(o.seed == 7);
  CHECK(o.max_train == 100);
  CHECK(o.max_test == 0);
  CHECK(o.order == std::vector<std::string>{"b", "a"});
  REQUIRE(o.tasks.size() == 2);
  CHECK(o.tasks[0].labels == std::vector<std::string>{"True", "False"});
  CHECK(o.tasks[0].max_new_tokens == 4);
  CHECK(o.tasks[0].instruction == "Do:\n");
  CHECK(o.tasks[0].cue == "\nSo:");
  CHECK(o.tasks[0].epochs == 3);
  CHECK(o.tasks[0].source == SourceText::kPrompt);
  CHECK(o.tasks[1].more_metrics == std::vector<std::string>{"bleu4"});
  CHECK(o.tasks[1].source == SourceText::kBody);
  CHECK(o.tasks[1].cut_front);
  CHECK(o.tasks[1].directory == "long_name");
  CHECK_FALSE(o.tasks[1].epochs.has_value());
}

TEST_CASE("wrong stream configs are refused with place and nearest key", "[stream_config]") {
  refuse(kWhole, "max_train", "max_trian",
         "toy.yaml:7:12: stream.max_trian: nothing reads this key; did you mean 'max_train'?");
  refuse(kWhole, "cue: ", "que: ", "stream.tasks.a.que: nothing reads this key; did you mean 'cue'?");
  refuse(kWhole, "metric: accuracy", "metrik: accuracy",
         "stream.tasks.a.metric: the key is missing; 'metrik' is there");
  refuse(kWhole, "[\"True\", \"False\"]", "[True, False]", "expected a string, found bool True");
  refuse(kWhole, "max_train: 100", "max_train: -1", "toy.yaml:7:12: stream.max_train: is -1; expected at least 0");
  refuse(kWhole, "max_train: 100", "max_train: many", "stream.max_train: expected a whole number, found string 'many'");
  refuse(kWhole, "source: body", "source: reference", "stream.tasks.b.source: expected one of prompt, body");
  refuse(kWhole, "kind: files", "kind: file", "stream.kind: expected one of ");
  refuse(kWhole, "epochs: 3", "epochs: 0", "stream.tasks.a.epochs: is 0; expected at least 1");
  CHECK_THROWS_WITH(parse("kind: files\nname: x\nroot: /d\ntasks: {}\n"),
                    Catch::Contains("stream.tasks: holds no tasks"));
  CHECK_THROWS_WITH(parse("kind: files\nname: x\nroot: /d\n"), Catch::Contains("stream.tasks: holds no tasks"));
  CHECK_THROWS_WITH(parse("- kind: files\n"), Catch::Contains("stream: expected a map, found list"));
}

TEST_CASE("mini8 refuses sizes that make no stream", "[stream_config]") {
  const auto error = [](const std::string& line) -> std::string {
    try {
      mini8_options(config::parse_yaml("kind: mini8\n" + line, "mini8.yaml"));
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  CHECK(error("train_rows: 1\ntest_rows: 1\neval_rows: 0\n").empty());
  CHECK_THAT(error("train_rows: 0\n"), Catch::Contains("stream.train_rows: is 0; expected at least 1"));
  CHECK_THAT(error("test_rows: -1\n"), Catch::Contains("stream.test_rows: is -1; expected at least 1"));
  CHECK_THAT(error("seed: -1\n"), Catch::Contains("stream.seed: is -1; expected at least 0"));
}
