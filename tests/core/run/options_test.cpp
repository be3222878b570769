#include "core/run/options.h"

#include "core/base/error.h"
#include "core/config/yaml.h"
#include "core/run/build.h"
#include "tests/support/catch.h"

using namespace mneme;
using namespace mneme::run;
using Catch::Contains;

namespace {
RunOptions options_of(const std::string& more, const std::string& model = "model: {path: nano}\n") {
  return read_options(
      config::parse_yaml("seed: 3\nstream: {kind: mini8}\nstrategy: {name: seq}\n" + model + more, "test.yaml"));
}
}  // namespace

TEST_CASE("a config of what is required has the documented defaults", "[options]") {
  const RunOptions o = options_of("");
  CHECK(o.seed == 3);
  CHECK(o.strategy == "seq");
  CHECK(o.model.path == "nano");
  CHECK(o.model.dtype == "fp32");
  CHECK(o.model.device == "cpu");
  CHECK(o.model.matmul_precision == "highest");
  CHECK(o.adapter.kind == "lora");
  CHECK(o.adapter.lora.rank == 8);
  CHECK(o.adapter.lora.targets == std::vector<std::string>{"q_proj", "v_proj"});
  CHECK(o.train.epochs == 1);
  CHECK(o.train.epochs_per_task.empty());
  CHECK(o.train.batch_size == 16);
  CHECK(o.train.clip == 1);
  CHECK(o.train.beta2 == 0.999);
  CHECK(o.eval.rows == "all");
  CHECK(o.max_length == 512);
  CHECK(o.eval.max_length == 512);
  CHECK(o.save.adapters == "last");
  CHECK(o.save.checkpoint);
  CHECK_FALSE(o.cache.empty());
}

TEST_CASE("every section reaches its options", "[options]") {
  const RunOptions o = options_of(
      "adapter: {kind: full, rank: 3, alpha: 5, dropout: 0.25, targets: [all-linear], first_layer: 2}\n"
      "train: {epochs: 4, epochs_per_task: [2, 7], batch_size: 3, accumulation: 2, max_steps: 9, learning_rate: 2,\n"
      "  schedule: cosine, warmup_steps: 5, warmup_ratio: 0.5, weight_decay: 0.25, beta1: 0.5, beta2: 0.75,\n"
      "  epsilon: 0.125, clip: 0, optimizer_reset: never, max_length: 99, max_answer: 7}\n"
      "eval: {split: eval, protocol: labels, rows: last, decode_slots: 4}\n"
      "save: {adapters: none, checkpoint: false}\n"
      "launcher: {jobs: 2}\nname: mine\ndata: {root: here}\n",
      "model: {path: dir, dtype: bf16, device: cuda:1, matmul_precision: high}\n");
  CHECK(o.model.device == "cuda:1");
  CHECK(matmul_precision(o.model.matmul_precision) == model::MatmulPrecision::kHigh);
  CHECK(o.adapter.kind == "full");
  CHECK(o.adapter.lora.rank == 3);
  CHECK(o.adapter.lora.alpha == 5);
  CHECK(o.adapter.lora.dropout == 0.25);
  CHECK(o.adapter.lora.targets == std::vector<std::string>{"all-linear"});
  CHECK(o.adapter.lora.first_layer == 2);
  const TrainOptions& t = o.train;
  CHECK(t.epochs == 4);
  CHECK(t.epochs_per_task == std::vector<std::int64_t>{2, 7});
  CHECK(t.batch_size == 3);
  CHECK(t.accumulation == 2);
  CHECK(t.max_steps == 9);
  CHECK(t.learning_rate == 2);
  CHECK(t.schedule == "cosine");
  CHECK(t.warmup_steps == 5);
  CHECK(t.warmup_ratio == 0.5);
  CHECK(t.weight_decay == 0.25);
  CHECK(t.beta1 == 0.5);
  CHECK(t.beta2 == 0.75);
  CHECK(t.epsilon == 0.125);
  CHECK(t.clip == 0);
  CHECK(t.optimizer_reset == "never");
  CHECK(o.max_length == 99);
  CHECK(o.max_answer == 7);
  CHECK(o.eval.split == "eval");
  CHECK(o.eval.protocol == "labels");
  CHECK(o.eval.rows == "last");
  CHECK(o.eval.decode_slots == 4);
  CHECK(o.eval.max_length == 99);
  CHECK(o.model.path == "dir");
  CHECK(o.model.dtype == "bf16");
  CHECK(o.save.adapters == "none");
  CHECK_FALSE(o.save.checkpoint);
}

TEST_CASE("a wrong setting is named with its position, its path, what was found and what was expected", "[options]") {
  struct Case {
    const char* yaml;
    std::vector<const char*> parts;
  };
  const std::vector<Case> cases = {
      {"train: {epoch: 3}\n", {"test.yaml:5:16", "train.epoch", "epochs"}},
      {"trian: {epochs: 3}\n", {"test.yaml:5:", "trian", "'train'"}},
      {"train: {epochs: three}\n", {"test.yaml:5:17", "train.epochs", "whole number", "three"}},
      {"train: {epochs: 1.5}\n", {"train.epochs", "whole number", "1.5"}},
      {"train: {epochs: 0}\n", {"train.epochs", ">= 1", "0"}},
      {"train: {epochs: null}\n", {"train.epochs", "null"}},
      {"train: {epochs_per_task: [3, 0]}\n", {"train.epochs_per_task", ">= 1", "0"}},
      {"train: {epochs_per_task: 3}\n", {"train.epochs_per_task", "list"}},
      {"train: {batch_size: -4}\n", {"train.batch_size", "-4"}},
      {"train: {learning_rate: 0}\n", {"train.learning_rate", "> 0"}},
      {"train: {learning_rate: .nan}\n", {"train.learning_rate", "> 0"}},
      {"train: {beta1: 1}\n", {"train.beta1", "[0, 1)"}},
      {"train: {warmup_ratio: 1.5}\n", {"train.warmup_ratio", "[0, 1]", "1.5"}},
      {"train: {schedule: cosin}\n", {"train.schedule", "constant, linear, cosine", "'cosine'"}},
      {"train: {optimizer_reset: always}\n", {"train.optimizer_reset", "per_task, never"}},
      {"train: {max_length: 4}\n", {"train.max_length", ">= 8"}},
      {"train: [1]\n", {"train", "expected a map"}},
      {"adapter: {rank: 0}\n", {"adapter.rank", ">= 1"}},
      {"adapter: {targets: q_proj}\n", {"adapter.targets", "list of texts"}},
      {"adapter: {dropout: 1}\n", {"adapter.dropout", "[0, 1)"}},
      {"eval: {rows: some}\n", {"eval.rows", "all, lower, last"}},
      {"eval: {decode_slots: 0}\n", {"eval.decode_slots", ">= 1"}},
      {"eval: {stop: [x, '']}\n", {"eval.stop", "empty text"}},
      {"save: {checkpoint: 1}\n", {"save.checkpoint", "true or false"}},
      {"save: {adapters: some}\n", {"save.adapters", "last, all, none"}},
      {"optimizer: {lr: 1}\n", {"optimizer", "nothing reads"}}};
  for (const Case& c : cases) {
    INFO(c.yaml);
    std::string message;
    try {
      options_of(c.yaml);
    } catch (const ConfigError& e) {
      message = e.what();
    }
    for (const char* part : c.parts) CHECK_THAT(message, Contains(part));
  }
}

TEST_CASE("what a run cannot do without is asked for", "[options]") {
  const auto read = [](const std::string& yaml) { return read_options(config::parse_yaml(yaml, "test.yaml")); };
  CHECK_THROWS_WITH(read("seed: 1\nstrategy: {name: seq}\n"), Contains("model.path"));
  CHECK_THROWS_WITH(read("seed: 1\nmodel: {path: x}\n"), Contains("strategy") && Contains("strategy=seq"));
  CHECK_THROWS_WITH(read("seed: 1\nmodel: {path: x}\nstrategy: seq\n"), Contains("strategy"));
  CHECK_THROWS_WITH(read("seed: 1\nmodel: {path: x, device: gpu}\nstrategy: {name: seq}\n"),
                    Contains("model.device: is 'gpu'; expected cpu, cuda or cuda:N"));
  CHECK_THROWS_WITH(read("seed: 1\nmodel: {path: x}\nstrategy: {lambda: 1}\n"), Contains("name"));
  CHECK_THROWS_WITH(read("model: {path: x}\nstrategy: {name: seq}\n"), Contains("seed"));
  CHECK_THROWS_WITH(read("seed: -1\nmodel: {path: x}\nstrategy: {name: seq}\n"), Contains("seed") && Contains("-1"));
  CHECK_THROWS_AS(build_stream(read("seed: 1\nmodel: {path: x}\nstrategy: {name: seq}\n")), ConfigError);
}

TEST_CASE("a strategy's settings are typed by its schema, defaults filled in", "[options]") {
  using enum ParamType;
  const ParamSpecs specs = {{"lambda", kReal, "0.5", ">= 0", "strength"},
                            {"layers", kIntList, "[1, 2]", "", "which"},
                            {"mode", kChoice, "soft", "soft|hard", "how"},
                            {"limit", kInt, "null", ">= 1", "at most", true}};
  const auto params = [&specs](const std::string& yaml) {
    return strategy_params(specs, config::parse_yaml(yaml, "test.yaml"));
  };
  const Params given = params("name: x\nlambda: 2\nlayers: [4]\nmode: hard\nlimit: 9\n");
  CHECK(given.real("lambda") == 2);
  CHECK(given.integers("layers") == std::vector<std::int64_t>{4});
  CHECK(given.choice("mode") == "hard");
  CHECK(given.integer("limit") == 9);
  const Params defaults = params("name: x\n");
  CHECK(defaults.real("lambda") == 0.5);
  CHECK(defaults.integers("layers") == std::vector<std::int64_t>{1, 2});
  CHECK(defaults.is_null("limit"));
  CHECK_THROWS_WITH(params("name: x\nlamda: 2\n"), Contains("strategy.lamda") && Contains("'lambda'"));
  CHECK_THROWS_WITH(params("name: x\nlambda: -2\n"), Contains("strategy.lambda") && Contains(">= 0"));
  CHECK_THROWS_WITH(params("name: x\nmode: loud\n"), Contains("strategy.mode") && Contains("soft, hard"));
}

TEST_CASE("epochs of a task: the run's list, else the task's own, else the run's number", "[options]") {
  std::vector<data::TaskSpec> tasks;
  for (const auto epochs : std::vector<std::optional<std::int64_t>>{5, std::nullopt, 2}) {
    tasks.emplace_back();
    tasks.back().epochs = epochs;
  }
  TrainOptions train;
  train.epochs = 3;
  CHECK(epochs_per_task(train, tasks) == std::vector<std::int64_t>{5, 3, 2});
  train.epochs_per_task = {1, 2, 4};
  CHECK(epochs_per_task(train, tasks) == std::vector<std::int64_t>{1, 2, 4});
  train.epochs_per_task = {1, 2};
  CHECK_THROWS_WITH(epochs_per_task(train, tasks),
                    Contains("train.epochs_per_task") && Contains("2 numbers") && Contains("3 tasks"));
}
