#include <ATen/ATen.h>
#include <fmt/ranges.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/config/json.h"
#include "core/config/yaml.h"
#include "core/model/safetensors.h"
#include "core/plugin/loader.h"
#include "core/record/reader.h"
#include "core/run/run.h"
#include "core/text/byte_tokenizer.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/toy.h"

using namespace mneme;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {
/// A small model and a stream of three tasks in files; runs of them below one directory.
class Laboratory {
 public:
  Laboratory() {
    ::setenv("MNEME_CACHE", (root_ / "cache").c_str(), 1);
    model::TransformerConfig config;
    config.vocab_size = text::ByteTokenizer::kVocabSize;
    config.hidden_size = 16;
    config.intermediate_size = 24;
    config.num_hidden_layers = 2;
    config.num_attention_heads = 4;
    config.num_key_value_heads = 2;
    config.head_dim = 4;
    RandomStream rng(1, "laboratory");
    const auto model = model::Transformer::random(config, at::kFloat, rng);
    model->save(root_ / "model", at::kFloat);
    write_file_atomically(root_ / "model/tokenizer_config.json", text::ByteTokenizer::config_json());
    for (const char* task : {"one", "two", "three"}) write_task(task);
  }

  const fs::path& root() const { return root_.path(); }
  fs::path data(const std::string& task) const { return root_ / ("suite/" + task + "/train.json"); }

  /// A run's directory with the usual settings and more YAML.
  fs::path prepare(const std::string& name, const std::string& strategy,
                   const std::string& train = "learning_rate: 0.01", const std::string& task_two = "") const {
    const fs::path directory = root_ / (name + "/0123456789ab");
    const std::string yaml = fmt::format(
        "seed: 4\nmodel: {{path: {0}/model}}\nstrategy: {{name: {1}}}\n"
        "adapter: {{rank: 2, dropout: 0.1, targets: [q_proj, v_proj]}}\n"
        "train: {{batch_size: 3, accumulation: 2, max_length: 48, optimizer_reset: never{2}}}\n"
        "save: {{adapters: all}}\n"
        "stream: {{kind: files, name: suite, root: {0}, directory: suite, order: [one, two, three], max_test: 3, "
        "tasks: {{\n"
        "  one: {{metric: exact_match, more_metrics: [rouge1], max_new_tokens: 4}},\n"
        "  two: {{metric: exact_match, max_new_tokens: 4{3}}},\n"
        "  three: {{metric: exact_match, max_new_tokens: 4}}}}}}\n",
        root().string(), strategy, ", " + train, task_two.empty() ? "" : ", " + task_two);
    fs::create_directories(directory / ".hydra");
    write_file_atomically(directory / ".hydra/resolved.json",
                          config::dump_json(config::parse_yaml(yaml, "run.yaml"), {.indent = 2}));
    return directory;
  }

 private:
  void write_task(const std::string& name) const {
    const fs::path directory = root_ / ("suite/" + name);
    fs::create_directories(directory);
    for (const auto& [split, count] : {std::pair{"train", 8}, {"eval", 2}, {"test", 5}}) {
      std::vector<std::string> rows;
      for (int i = 0; i < count; ++i)
        rows.push_back(fmt::format(R"({{"prompt": "{} {} number {}?", "answer": "{}"}})", name, split, i,
                                   std::string(static_cast<std::size_t>(1 + i % 3), name[0])));
      write_file_atomically(directory / (std::string(split) + ".json"), fmt::format("[{}]", fmt::join(rows, ",\n")));
    }
  }

  test::TemporaryDirectory root_{"run"};
};

RunStatus execute(const fs::path& directory) {
  plugin::PluginRegistry plugins(plugin::plugin_search_path());
  return run::execute(directory, plugins, [] { return false; });
}

/// Runs `mneme-run run` with $MNEME_TEST_DIE. \return whether SIGKILL ended it
bool killed_at(const fs::path& directory, const std::string& where) {
  const std::string program = std::string(MNEME_BINARY_DIR) + "/bin/mneme-run";
  const pid_t child = ::fork();
  if (child == 0) {
    ::setenv("MNEME_TEST_DIE", where.c_str(), 1);
    if (std::freopen("/dev/null", "w", stderr) == nullptr) ::_exit(126);
    ::execl(program.c_str(), program.c_str(), "run", directory.c_str(), nullptr);
    ::_exit(127);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

/// All of a record that the same run must repeat: everything but times and memory.
std::string repeatable(const fs::path& file) {
  const record::Record record(file);
  std::string text =
      fmt::format("{} {} {} {}\n", record.run_id(), to_string(record.status()), record.error(), record.config());
  for (const auto& e : record.steps())
    text += fmt::format("step {} {} {} {} {:a} {:a} {}\n", e.task, e.phase, e.epoch, e.step, e.lr, e.loss, e.tokens);
  for (const auto& e : record.terms()) text += fmt::format("term {} {} {:a}\n", e.step, e.name, e.value);
  for (const auto& e : record.examples())
    text += fmt::format("example {} {} {} '{}' {:a}\n", e.after, e.task, e.row_id, e.prediction, e.score);
  for (const auto& e : record.costs())
    text += fmt::format("cost {} {} {:a} {} {}\n", e.task, e.tokens, e.flops, e.trainable_parameters, e.state_bytes);
  const auto add = [&text](const std::string& name, const record::Array& array) {
    text += fmt::format("{} {}", name, fmt::join(array.shape, "x"));
    for (const double value : array.values) text += fmt::format(" {:a}", value);
    text += "\n";
  };
  add("scores", record.scores());
  for (const auto& id : record.metric_ids()) add(id, record.metric(id));
  for (const auto& name : record.array_names()) add(name, record.array(name));
  return text;
}

std::map<std::int64_t, std::int64_t> steps_per_task(const fs::path& directory) {
  std::map<std::int64_t, std::int64_t> counts;
  for (const auto& e : record::Record(directory / "run.h5").steps()) ++counts[e.task];
  return counts;
}
}  // namespace

TEST_CASE("a run killed within any stage and gone on with leaves the record of an undisturbed one, bit for bit",
          "[run]") {
  const Laboratory laboratory;
  const fs::path whole = laboratory.prepare("whole", TEST_MORTAL), killed = laboratory.prepare("killed", TEST_MORTAL);
  REQUIRE(execute(whole) == RunStatus::kDone);
  std::size_t rows_before = 0;
  for (const char* where : {"1:1:kill", "2:0:kill", "3:2:kill"}) {
    INFO(where);
    REQUIRE(killed_at(killed, where));
    const record::Record record(killed / "run.h5");
    CHECK(record.status() == RunStatus::kRunning);
    CHECK(record.finished().empty());
    // What is on disk is of whole stages: their cost and every row of R up to them.
    CHECK(record.examples().size() == 9 * (record.costs().size() + 1));
    CHECK(record.steps().size() == 3 * record.costs().size());
    CHECK(record.examples().size() > rows_before);
    rows_before = record.examples().size();
  }
  REQUIRE(execute(killed) == RunStatus::kDone);
  CHECK(repeatable(killed / "run.h5") == repeatable(whole / "run.h5"));
  for (const char* file :
       {"checkpoints/state.safetensors", "adapters/1/default/adapter_model.safetensors",
        "adapters/3/default/adapter_model.safetensors", "adapters/3/three/adapter_model.safetensors"}) {
    INFO(file);
    CHECK(read_file(killed / file) == read_file(whole / file));
  }
  // Once done, it is done.
  CHECK_THROWS_WITH(execute(killed), Contains("the run is done"));
}

TEST_CASE("activations that are computed again change nothing but memory", "[run]") {
  const Laboratory laboratory;
  const fs::path plain = laboratory.prepare("plain", "seq"), scarce = laboratory.prepare("scarce", "seq");
  REQUIRE(execute(plain) == RunStatus::kDone);
  ::setenv("MNEME_MEMORY_LIMIT", "1", 1);
  const RunStatus status = execute(scarce);
  ::unsetenv("MNEME_MEMORY_LIMIT");
  REQUIRE(status == RunStatus::kDone);
  CHECK(repeatable(scarce / "run.h5") == repeatable(plain / "run.h5"));
}

TEST_CASE("R has a row before training and one after each task; examples and costs stand behind it", "[run]") {
  const Laboratory laboratory;
  const fs::path directory = laboratory.prepare("plain", "seq");
  REQUIRE(execute(directory) == RunStatus::kDone);
  const record::Record record(directory / "run.h5");
  CHECK(record.status() == RunStatus::kDone);
  CHECK(record.error().empty());
  const record::Array scores = record.scores();
  CHECK(scores.shape == std::vector<std::int64_t>{4, 3});
  std::map<std::pair<std::int64_t, std::int64_t>, std::vector<double>> cells;
  for (const auto& e : record.examples()) cells[{e.after, e.task}].push_back(e.score);
  CHECK(cells.size() == 12);
  for (const auto& [cell, examples] : cells) {
    REQUIRE(examples.size() == 3);  // max_test of five rows
    CHECK(scores.values[static_cast<std::size_t>(cell.first * 3 + cell.second - 1)] ==
          (examples[0] + examples[1] + examples[2]) / 3);
  }
  const record::Array further = record.metric("rouge1");
  CHECK(std::isfinite(further.values[0]));
  CHECK(std::isnan(further.values[1]));
  CHECK(record.costs().size() == 3);
  CHECK(record.tasks()[1].test_rows == 3);
  for (const char* k : {"1", "2", "3"}) CHECK(fs::exists(directory / "adapters" / k / "adapter_config.json"));
  CHECK(read_file(directory / "progress.json").find("\"done\"") != std::string::npos);
}

TEST_CASE("epochs: a task's own, unless the run lists them", "[run]") {
  const Laboratory laboratory;
  using Counts = std::map<std::int64_t, std::int64_t>;  // 8 rows in batches of 3: 3 steps per epoch
  const fs::path own = laboratory.prepare("own", "seq", "epochs: 2", "epochs: 4");
  REQUIRE(execute(own) == RunStatus::kDone);
  CHECK(steps_per_task(own) == Counts{{1, 6}, {2, 12}, {3, 6}});
  const fs::path listed = laboratory.prepare("listed", "seq", "epochs: 2, epochs_per_task: [1, 2, 3]", "epochs: 4");
  REQUIRE(execute(listed) == RunStatus::kDone);
  CHECK(steps_per_task(listed) == Counts{{1, 3}, {2, 6}, {3, 9}});
  const fs::path wrong = laboratory.prepare("wrong", "seq", "epochs_per_task: [1, 2]");
  CHECK_THROWS_WITH(execute(wrong), Contains("train.epochs_per_task") && Contains("3 tasks"));
  CHECK_FALSE(fs::exists(wrong / "run.h5"));
}

TEST_CASE("joint training has row 0 and the last row alone", "[run]") {
  const Laboratory laboratory;
  const fs::path directory = laboratory.prepare("joint", "mtl");
  REQUIRE(execute(directory) == RunStatus::kDone);
  const auto scores = record::Record(directory / "run.h5").scores().values;
  for (std::size_t i = 0; i < 12; ++i) CHECK(std::isnan(scores[i]) == (i >= 3 && i < 9));
  CHECK(steps_per_task(directory) == std::map<std::int64_t, std::int64_t>{{3, 8}});
}

TEST_CASE("a diverging run is recorded as diverged, never as done", "[run]") {
  const Laboratory laboratory;
  const fs::path directory = laboratory.prepare("diverged", "seq", "learning_rate: 3.0e+38");
  CHECK(execute(directory) == RunStatus::kDiverged);
  {
    const record::Record record(directory / "run.h5");
    CHECK(record.status() == RunStatus::kDiverged);
    CHECK_THAT(record.error(), Contains("train.learning_rate"));
    CHECK_FALSE(record.finished().empty());
    CHECK(record.scores().values[0] >= 0);
  }
  CHECK(execute(directory) == RunStatus::kDiverged);
}

TEST_CASE("what a strategy throws ends the run as failed; it can be gone on with", "[run]") {
  const Laboratory laboratory;
  const fs::path whole = laboratory.prepare("whole", TEST_MORTAL), failed = laboratory.prepare("failed", TEST_MORTAL);
  REQUIRE(execute(whole) == RunStatus::kDone);
  ::setenv("MNEME_TEST_DIE", "2:1:throw", 1);
  CHECK(execute(failed) == RunStatus::kFailed);
  ::unsetenv("MNEME_TEST_DIE");
  CHECK(record::Record(failed / "run.h5").status() == RunStatus::kFailed);
  CHECK_THAT(record::Record(failed / "run.h5").error(), Contains("told to die"));
  // It does not go on from a record that was damaged meanwhile.
  const std::string kept = read_file(failed / "run.h5");
  write_file_atomically(failed / "run.h5", kept.substr(0, kept.size() - 100));
  CHECK_THROWS_WITH(execute(failed), Contains("run.h5: the record is cut or damaged"));
  write_file_atomically(failed / "run.h5", kept);
  CHECK(execute(failed) == RunStatus::kDone);
  CHECK(repeatable(failed / "run.h5") == repeatable(whole / "run.h5"));
}

TEST_CASE("a bad row stops a run before it starts, with file and index; nothing looks finished", "[run]") {
  const Laboratory laboratory;
  const fs::path directory = laboratory.prepare("bad", "seq");
  const fs::path file = laboratory.data("two");
  const std::string good = read_file(file);
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"([{"prompt": "p", "answer": "a"}, {"prompt": "q"}])", "\"answer\""},
      {R"([{"prompt": "p", "answer": "a"}, {"prompt": "q", "answer": 3}])", "number 3"},
      {R"([{"prompt": "p", "answer": "a"}, {"prompt": "q", "answer": " "}])", "is empty"},
      {R"([{"prompt": "p", "answer": "a"}, {"prompt": "q", "answer": "a", "anwser": "b"}])", "anwser"}};
  for (const auto& [content, what] : cases) {
    INFO(content);
    write_file_atomically(file, content);
    CHECK_THROWS_WITH(execute(directory), Contains(file.string()) && Contains("row 1") && Contains(what));
    CHECK_FALSE(fs::exists(directory / "run.h5"));
  }
  write_file_atomically(file, good.substr(0, good.size() - 5));
  CHECK_THROWS_WITH(execute(directory), Contains(file.string() + ":8:"));
  CHECK_FALSE(fs::exists(directory / "run.h5"));
  write_file_atomically(file, good);
  CHECK(execute(directory) == RunStatus::kDone);
}

TEST_CASE("without checkpoints a run starts anew", "[run]") {
  const Laboratory laboratory;
  const fs::path directory = laboratory.prepare("anew", TEST_MORTAL);
  const fs::path config = directory / ".hydra/resolved.json";
  std::string text = read_file(config);
  const std::string adapters = "\"adapters\": \"all\"";
  text.replace(text.find(adapters), adapters.size(), adapters + ", \"checkpoint\": false");
  write_file_atomically(config, text);
  REQUIRE(killed_at(directory, "2:1:kill"));
  CHECK_FALSE(fs::exists(directory / "checkpoints"));
  REQUIRE(execute(directory) == RunStatus::kDone);
  const record::Record record(directory / "run.h5");
  CHECK(record.steps().size() == 9);
  CHECK(record.examples().size() == 36);
}
