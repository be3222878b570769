#include "core/eval/evaluator.h"

#include <ATen/ATen.h>

#include <cmath>

#include "core/base/error.h"
#include "core/text/byte_tokenizer.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/toy.h"

using namespace mneme;
using Catch::Contains;

namespace {
using text::ByteTokenizer;

data::Task task(const std::string& name, const std::string& metric, std::vector<data::Example> test,
                std::vector<std::string> labels = {}) {
  data::TaskSpec spec;
  spec.name = name;
  spec.metric = metric;
  spec.labels = std::move(labels);
  spec.max_new_tokens = 6;
  const data::Example other{"", "held out", spec.labels.empty() ? "x" : spec.labels[0], {}, "", ""};
  return data::make_task(spec, {other}, {other, other}, std::move(test));
}

data::Example row(const std::string& prompt, const std::string& answer, std::vector<std::string> references = {}) {
  return {"", prompt, answer, std::move(references), "", ""};
}

/// Keeps what an evaluation emits.
class EvalSink final : public RunSink {
 public:
  void example(const ExampleEvent& e) override { examples.push_back(e); }
  void score(const ScoreEvent& e) override { scores.push_back(e); }
  std::vector<ExampleEvent> examples;
  std::vector<ScoreEvent> scores;
};

/// Answers from a table of prompts; writes down what it was asked.
class Scripted final : public Strategy {
 public:
  explicit Scripted(std::map<std::string, std::string> answers) : answers_(std::move(answers)) {}
  void attach(Learner&) override {}
  std::vector<Tokens> predict(Learner&, const PromptBatch& prompts) override {
    tasks.push_back(prompts.task);
    sizes.push_back(prompts.size());
    std::vector<Tokens> out;
    for (const auto& job : prompts.prompts) {
      asked.push_back(job);
      Tokens ids = ByteTokenizer().encode(answers_.at(ByteTokenizer().decode(job.prompt)));
      ids.push_back(ByteTokenizer::kEos);
      out.push_back(std::move(ids));
    }
    if (drop_last) out.pop_back();
    return out;
  }
  std::string answer(const std::string& text) const override {
    const auto at = text.rfind(':');
    return at == std::string::npos ? text : text.substr(at + 1);
  }
  std::vector<std::optional<std::int64_t>> tasks;
  std::vector<std::int64_t> sizes;
  std::vector<model::GenerateJob> asked;
  bool drop_last = false;

 private:
  std::map<std::string, std::string> answers_;
};

/// A random byte-level model with larger weights, so that it has opinions.
std::shared_ptr<model::Transformer> byte_model() {
  model::TransformerConfig config;
  config.vocab_size = ByteTokenizer::kVocabSize;
  config.hidden_size = 16;
  config.intermediate_size = 24;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 4;
  config.eos_token_ids = {10, ByteTokenizer::kEos};
  RandomStream rng(2, "byte-model");
  auto model = model::Transformer::random(config, c10::ScalarType::Float, rng);
  std::vector<std::pair<std::string, at::Tensor>> larger;
  for (const auto& [name, weight] : model->weights())
    larger.emplace_back(name, weight.dim() == 2 ? (weight * 10.0).detach() : weight.detach().clone());
  model->bind_weights(larger);
  return model;
}

struct Bench {
  Bench(Strategy& strategy, data::Stream tasks, EvalOptions options = {})
      : stream(std::move(tasks)),
        learner(byte_model(), LearnerOptions{1, test::ToyOptions{}.adapter, 4, 4}, sink),
        evaluator((strategy.attach(learner), learner), strategy, stream, tokenizer, std::move(options)) {}

  std::vector<double> evaluate(std::int64_t after, std::int64_t last = 3) {
    return evaluator.evaluate(after, last, sink, [](std::int64_t, std::int64_t) {});
  }

  ByteTokenizer tokenizer;
  EvalSink sink;
  data::Stream stream;
  Learner learner;
  Evaluator evaluator;
};

data::Stream three_tasks() {
  data::TaskSpec spec;
  spec.name = "third";
  spec.metric = "exact_match";
  spec.more_metrics = {"rouge1"};
  spec.max_new_tokens = 6;
  return {"three",
          {task("first", "exact_match", {row("a?", "one"), row("b?", "two"), row("c?", "six")}),
           task("second", "exact_match", {row("d?", "four", {"four", "vier"})}),
           data::make_task(spec, {row("h?", "h")}, {row("h?", "h")}, {row("e?", "a b c")})}};
}

Scripted three_answers() {
  return Scripted({{"a?", "one"},
                   {"b?", "no"},
                   {"c?", "because: six"},
                   {"d?", "vier"},
                   {"e?", "a b d"},
                   {"h?", "h"},
                   {"held out", "x"}});
}
}  // namespace

TEST_CASE("a row has each task's primary metric, its examples behind it, further metrics beside it", "[eval]") {
  Scripted strategy = three_answers();
  Bench bench(strategy, three_tasks());
  const std::vector<double> scores = bench.evaluate(0);
  REQUIRE(scores.size() == 3);
  CHECK(scores[0] == Approx(2.0 / 3));  // "because: six" counts by what the strategy takes as the answer
  CHECK(scores[1] == 1);                // the second reference
  CHECK(scores[2] == 0);
  REQUIRE(bench.sink.examples.size() == 5);
  CHECK(bench.sink.examples[2].prediction == " six");
  CHECK(bench.sink.examples[3].prediction == "vier");
  double sum = 0;
  for (const ExampleEvent& e : bench.sink.examples) {
    CHECK(e.after == 0);
    if (e.task == 1) sum += e.score;
  }
  CHECK(sum / 3 == scores[0]);
  CHECK(bench.sink.examples[1].row_id == "1");
  REQUIRE(bench.sink.scores.size() == 4);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(bench.sink.scores[i].task == static_cast<std::int64_t>(i) + 1);
    CHECK(bench.sink.scores[i].primary);
    CHECK(bench.sink.scores[i].value == scores[i]);
  }
  CHECK_FALSE(bench.sink.scores[3].primary);
  CHECK(bench.sink.scores[3].metric == "rouge1");
  CHECK(bench.sink.scores[3].value == Approx(2.0 / 3));
}

TEST_CASE("without a task id all prompts are one queue; with it each task asks for itself", "[eval]") {
  Scripted strategy = three_answers();
  {
    Bench bench(strategy, three_tasks());
    bench.evaluate(1);
    CHECK(strategy.sizes == std::vector<std::int64_t>{5});
    CHECK_FALSE(strategy.tasks[0].has_value());
  }
  Scripted told = three_answers();
  Bench bench(told, three_tasks(), {.task_id = true});
  bench.evaluate(1);
  CHECK(told.sizes == std::vector<std::int64_t>{3, 1, 1});
  CHECK((told.tasks == std::vector<std::optional<std::int64_t>>{1, 2, 3}));
}

TEST_CASE("prompts carry bos, their task's limit and the end tokens of model and tokenizer", "[eval]") {
  Scripted strategy = three_answers();
  Bench bench(strategy, three_tasks());
  bench.evaluate(0);
  const model::GenerateJob& job = strategy.asked[3];
  CHECK(job.prompt == Tokens{ByteTokenizer::kBos, 'd', '?'});
  CHECK(job.max_new_tokens == 6);
  CHECK(job.stop == Tokens{10, ByteTokenizer::kEos});  // the model's, in its order
}

TEST_CASE("rows: all, only tasks seen so far, or the first and the last", "[eval]") {
  const auto filled = [](const std::string& rows, std::int64_t after) {
    Scripted strategy = three_answers();
    EvalOptions options;
    options.rows = rows;
    Bench bench(strategy, three_tasks(), options);
    std::string cells;
    for (const double score : bench.evaluate(after)) cells += std::isnan(score) ? '-' : 'x';
    CHECK(bench.sink.examples.empty() == (cells == "---"));
    return cells;
  };
  CHECK(filled("all", 1) == "xxx");
  CHECK(filled("lower", 0) == "xxx");
  CHECK(filled("lower", 2) == "xx-");
  CHECK(filled("last", 0) == "xxx");
  CHECK(filled("last", 2) == "---");
  CHECK(filled("last", 3) == "xxx");
}

TEST_CASE("the held-out split can be asked instead of the test split", "[eval]") {
  Scripted strategy = three_answers();
  EvalOptions options;
  options.split = "eval";
  Bench bench(strategy, three_tasks(), options);
  CHECK(bench.evaluate(0) == std::vector<double>{1, 1, 1});
  CHECK(bench.sink.examples.size() == 5);
}

TEST_CASE("a prompt that leaves no room for its answer is an error that names the limits", "[eval]") {
  Scripted strategy = three_answers();
  EvalOptions options;
  options.max_length = 7;
  CHECK_THROWS_WITH(Bench(strategy, three_tasks(), options), Contains("max_length 7") && Contains("task 'first'"));
  // A prompt that is too long loses its body.
  options.max_length = 6 + 1 + 1;
  Scripted cut({{"a", "one"}, {"b", "two"}, {"c", "six"}, {"d", "four"}, {"e", "a b c"}});
  Bench bench(cut, three_tasks(), options);
  CHECK(bench.evaluate(0) == std::vector<double>{1, 1, 1});
}

TEST_CASE("a stop text and what follows it are no part of an answer", "[eval]") {
  Scripted strategy({{"a?", "one##two"}, {"b?", "#"}, {"c?", "because: six\n##"}});
  EvalOptions options;
  options.stop = {"\n", "##"};
  Bench bench(strategy, {"stop", {three_tasks().tasks[0]}}, options);
  bench.evaluate(0, 1);
  REQUIRE(bench.sink.examples.size() == 3);
  CHECK(bench.sink.examples[0].prediction == "one");
  CHECK(bench.sink.examples[1].prediction == "#");
  CHECK(bench.sink.examples[2].prediction == " six");
}

TEST_CASE("as many answers as prompts are expected of a strategy", "[eval]") {
  Scripted strategy = three_answers();
  strategy.drop_last = true;
  Bench bench(strategy, three_tasks());
  CHECK_THROWS_WITH(bench.evaluate(0), Contains("4 answers to 5 prompts"));
}

TEST_CASE("the likeliest label is the one whose tokens and end have the largest probability", "[eval]") {
  Strategy plain;
  const std::vector<std::string> labels = {"A", "B", "C", "no"};
  std::vector<data::Example> rows;
  for (const char* prompt : {"first prompt", "2", "another one", "x y z", "Is it?", "why"})
    rows.push_back(row(prompt, "A"));
  data::Stream stream{"labels",
                      {task("labelled", "accuracy", rows, labels), task("free", "exact_match", {row("q", "r")})}};
  EvalOptions options;
  options.protocol = "labels";
  Bench bench(plain, stream, options);
  bench.evaluate(0);
  REQUIRE(bench.sink.examples.size() == 7);
  std::set<std::string> chosen;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    // Each candidate by a forward pass of its own.
    double best = -1e300;
    std::string expected;
    for (const std::string& label : labels) {
      Sample sample;
      sample.tokens.push_back(ByteTokenizer::kBos);
      for (const char c : rows[i].prompt) sample.tokens.push_back(static_cast<unsigned char>(c));
      sample.first_label = static_cast<std::int64_t>(sample.tokens.size());
      for (const char c : label) sample.tokens.push_back(static_cast<unsigned char>(c));
      sample.tokens.push_back(ByteTokenizer::kEos);
      const Batch batch = make_batch({std::make_shared<const Sample>(std::move(sample))});
      const double score = -bench.learner.forward(bench.learner.active(), batch).losses.sum().item<double>();
      if (score > best) best = score, expected = label;
    }
    CHECK(bench.sink.examples[i].prediction == expected);
    chosen.insert(expected);
  }
  CHECK(chosen != std::set<std::string>{labels[0]});
  // A task without labels is generated as ever.
  CHECK(bench.sink.examples[6].task == 2);
}

TEST_CASE("equal prompts are answered once, and again only when adapters changed", "[eval]") {
  Strategy plain;
  const std::vector<data::Example> rows = {row("same", "x"), row("other", "x"), row("same", "x")};
  Bench twice(plain, {"twice", {task("one", "exact_match", rows)}});
  Bench once(plain, {"once", {task("one", "exact_match", {rows[0], rows[1]})}});
  twice.evaluate(0);
  once.evaluate(0);
  CHECK(twice.learner.work().flops == once.learner.work().flops);
  REQUIRE(twice.sink.examples.size() == 3);
  CHECK(twice.sink.examples[0].prediction == twice.sink.examples[2].prediction);
  for (std::size_t i = 0; i < 2; ++i) CHECK(twice.sink.examples[i].prediction == once.sink.examples[i].prediction);
  const double before = twice.learner.work().flops;
  twice.evaluate(1);
  CHECK(twice.learner.work().flops == before);
  CHECK(twice.sink.examples.size() == 6);
  CHECK(twice.sink.examples[3].prediction == twice.sink.examples[0].prediction);
  CHECK(twice.sink.examples[3].after == 1);
  at::Tensor values = twice.learner.bank().values();
  values.copy_(at::linspace(-1, 1, values.numel()));
  twice.evaluate(2);
  CHECK(twice.learner.work().flops > before);
}

TEST_CASE("answers do not depend on how many are decoded at once", "[eval]") {
  std::vector<data::Example> rows;
  for (int i = 0; i < 9; ++i)
    rows.push_back(row(std::string(static_cast<std::size_t>(1 + i * i), static_cast<char>('a' + i)), "x"));
  std::vector<std::vector<std::string>> predictions;
  for (const std::int64_t slots : {1, 4, 32}) {
    Strategy plain;
    EvalSink sink;
    const data::Stream stream{"slots", {task("one", "exact_match", rows)}};
    const ByteTokenizer tokenizer;
    Learner learner(byte_model(), LearnerOptions{1, test::ToyOptions{}.adapter, 4, slots}, sink);
    plain.attach(learner);
    Evaluator evaluator(learner, plain, stream, tokenizer, {});
    evaluator.evaluate(0, 1, sink, [](std::int64_t, std::int64_t) {});
    auto& texts = predictions.emplace_back();
    for (const ExampleEvent& e : sink.examples) texts.push_back(e.prediction);
  }
  CHECK(predictions[0] == predictions[1]);
  CHECK(predictions[0] == predictions[2]);
}

TEST_CASE("prompts come from the token cache the second time, the same", "[eval]") {
  const test::TemporaryDirectory cache("eval-cache");
  std::vector<model::GenerateJob> first;
  for (int round = 0; round < 2; ++round) {
    Scripted strategy = three_answers();
    Bench bench(strategy, three_tasks(), {.cache = cache.path()});
    bench.evaluate(0);
    std::int64_t files = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(cache.path()))
      files += entry.is_regular_file();
    CHECK(files == 3);
    if (round == 0)
      first = strategy.asked;
    else
      for (std::size_t i = 0; i < first.size(); ++i) CHECK(strategy.asked[i].prompt == first[i].prompt);
  }
}

TEST_CASE("progress counts tasks to their end", "[eval]") {
  Scripted strategy = three_answers();
  Bench bench(strategy, three_tasks());
  std::vector<std::pair<std::int64_t, std::int64_t>> calls;
  bench.evaluator.evaluate(0, 3, bench.sink,
                           [&](std::int64_t done, std::int64_t total) { calls.emplace_back(done, total); });
  REQUIRE_FALSE(calls.empty());
  CHECK(calls.back() == std::pair<std::int64_t, std::int64_t>{3, 3});
}
