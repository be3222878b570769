#include "core/run/memory.h"

#include <cstdlib>

#include "core/base/free_memory.h"
#include "tests/support/catch.h"
#include "tests/support/toy.h"

using namespace mneme;
using namespace mneme::run;

namespace {
/// Plain fine-tuning that says it holds something.
class Holding final : public Strategy {
 public:
  explicit Holding(const MemoryNeed& need) : need_(need) {}
  MemoryNeed memory(const MemoryCase&) const override { return need_; }

 private:
  MemoryNeed need_;
};

RunOptions options_of(std::int64_t batch, std::int64_t accumulation = 1) {
  RunOptions options;
  options.train.batch_size = batch;
  options.train.accumulation = accumulation;
  return options;
}
}  // namespace

TEST_CASE("the largest micro-batch holds the longest rows of one task", "[memory]") {
  const std::vector<std::vector<int>> tasks = {{9, 1, 2}, {5, 6, 4, 6}, {}, {8, 3}};
  std::uint32_t capabilities = kNoCapability;
  const auto largest = [&](std::int64_t batch, std::int64_t accumulation) {
    return largest_micro_batch(options_of(batch, accumulation).train, tasks, capabilities, [](int row) { return row; });
  };
  CHECK(largest(1, 1) == std::vector{9});
  CHECK(largest(2, 1) == std::vector{6, 6});  // 9 + 2 and 8 + 3 are less
  CHECK(largest(5, 3) == std::vector{6, 6});  // micro-batches of 2, 2 and 1
  CHECK(largest(100, 1) == std::vector{6, 6, 5, 4});
  capabilities = kJointTraining;
  CHECK(largest(3, 1) == std::vector{9, 8, 6});
  CHECK(largest(3, 2) == std::vector{9, 8});
  capabilities = kStoresExamples;
  CHECK(largest(2, 1) == std::vector{6, 6, 9, 8});
}

TEST_CASE("a training case counts what the learner will train", "[memory]") {
  const auto model = test::toy_model();
  RunOptions options = options_of(2);
  options.adapter.lora = {.rank = 3, .targets = {"all-linear"}, .first_layer = 1};
  test::VectorSink sink;
  Learner learner(model, {.adapter = options.adapter}, sink);
  learner.bank().set_trainable({learner.create_adapter("one")});
  model::TrainingCase step = training_case(options, model->config(), {{5, 2}, {4, 1}});
  CHECK(step.trained == learner.bank().values().numel());
  CHECK(step.rows == 12);
  CHECK(step.source_rows == 0);
  CHECK(step.labels == 3);
  CHECK_FALSE(step.full);
  options.adapter.kind = "full";
  step = training_case(options, model->config(), {{5, 2}});
  CHECK(step.full);
  CHECK(step.trained == model->parameter_count());
}

TEST_CASE("activations are computed again where the memory asks for it, or as the options say", "[memory]") {
  const auto model = test::toy_model();
  RunOptions options = options_of(1);
  const Holding strategy({});
  const RunLoad load{.largest = {{1 << 22, 1 << 10}}};  // hundreds of times the memory of the program, on paper
  const auto forecast = [&](std::int64_t limit) {
    return foresee_memory(options, model->config(), strategy, load, limit);
  };
  options.recompute = "never";
  const MemoryForecast plain = forecast(1);
  CHECK_FALSE(plain.step.recompute);
  const auto bytes = static_cast<std::int64_t>(plain.bytes.total());
  options.recompute = "auto";
  CHECK(forecast(bytes).step.recompute);  // nine tenths are less
  CHECK(forecast(bytes).bytes.total() < plain.bytes.total());
  CHECK_FALSE(forecast(2 * bytes).step.recompute);
  CHECK_FALSE(forecast(0).step.recompute);  // unknown
  options.recompute = "always";
  CHECK(forecast(2 * bytes).step.recompute);
  options.adapter.kind = "full";  // layers of trained weights are never computed again
  CHECK_FALSE(forecast(bytes).step.recompute);
}

TEST_CASE("keys and values of answers count where they take more than a step", "[memory]") {
  const auto model = test::toy_model();
  const model::TransformerConfig& config = model->config();
  RunOptions options = options_of(1);
  options.eval.decode_slots = 64;
  RunLoad load{.largest = {{5, 2}}};
  const auto forecast = [&] { return foresee_memory(options, config, Holding({}), load, 0).bytes; };
  const double plain = forecast().total();
  CHECK(forecast().answering == 0);
  load.longest_prompt = 500, load.longest_answer = 55;
  for (const auto& [questions, slots] : {std::pair{100, 64}, {10, 10}}) {
    load.questions = questions;
    // Keys and values of 560 positions, in fp32, heads filled up to whole vectors.
    const auto head = static_cast<double>((config.head_dim + 15) / 16 * 16);
    const double cache =
        2.0 * 4 * 560 * head * static_cast<double>(config.num_hidden_layers * config.num_key_value_heads * slots);
    const model::MemoryEstimate answers =
        model::estimate_answering(config, {.slots = slots, .prompt = 500, .new_tokens = 55});
    CHECK(answers.activations == cache);
    const model::MemoryEstimate bytes = forecast();
    CHECK(bytes.answering > 0);
    CHECK(bytes.total() == Approx(plain - bytes.activations - bytes.transient + cache + answers.transient));
  }
}

TEST_CASE("what a method holds is part of the forecast, and of the choice to compute activations again", "[memory]") {
  const auto model = test::toy_model();
  RunOptions options = options_of(1);
  options.adapter.lora = {.rank = 3, .targets = {"all-linear"}};
  const RunLoad load{.largest = {{900, 100}}};
  const auto forecast = [&](const MemoryNeed& need, std::int64_t limit = 0) {
    return foresee_memory(options, model->config(), Holding(need), load, limit);
  };
  const model::MemoryEstimate none = forecast({}).bytes;
  const double momentary = none.activations + none.transient;
  CHECK(none.method == 0);
  CHECK(forecast({.kept = 1e6, .step = 2e6}).bytes.method == 3e6);
  CHECK(forecast({.kept = 1e6, .step = 2e6}).bytes.total() == none.total() + 3e6);
  // Between steps there are no activations: what is held then shows only where it is more.
  CHECK(forecast({.kept = 1e6, .rest = momentary - 1}).bytes.method == 1e6);
  CHECK(forecast({.rest = momentary + 5e6}).bytes.total() == Approx(none.total() + 5e6));
  CHECK(forecast({.step = 2e6, .rest = momentary + 5e6}).bytes.method == Approx(5e6));

  const auto limit = static_cast<std::int64_t>(2 * none.total());
  CHECK_FALSE(forecast({}, limit).step.recompute);
  CHECK(forecast({.kept = none.total()}, limit).step.recompute);

  const MemoryForecast upper = forecast({.first_layer = 1});
  const auto linears = model::linears_of(model->config());
  REQUIRE_FALSE(upper.step.adapted.empty());
  for (const std::int64_t linear : upper.step.adapted) CHECK(linears[static_cast<std::size_t>(linear)].layer == 1);
  CHECK(2 * upper.step.trained == forecast({}).step.trained);  // one of two layers
  CHECK(upper.bytes.activations < none.activations);

  CHECK(memory_text({.weights = 1e9, .method = 4e7}) == "1.04 GB");
  CHECK(memory_text({.weights = 1e9, .method = 5e8}) == "1.5 GB, of it 500 MB for what the method keeps");
}

TEST_CASE("strategies tell what they hold beside plain training", "[memory]") {
  model::TransformerConfig config = test::toy_model()->config();
  config.hidden_size = 50;
  config.num_hidden_layers = 8;
  model::TrainingCase step{.rows = 40, .trained = 1000};
  const auto need = [&](const std::string& name, const std::map<std::string, ParamValue>& changes = {}) {
    return test::make_strategy(name, changes)->memory({config, step, {{10, 300}, {10, 200}, {10, 100}}});
  };
  for (const char* name : {"seq", "mtl", "er"}) {
    CAPTURE(name);
    CHECK(need(name).kept == 0);
    CHECK(need(name).step == 0);
    CHECK(need(name).rest == 0);
  }
  CHECK(need("one").kept == 2 * 4000);  // adapters of the other two tasks
  CHECK(need("ewc").kept == 2 * 4000);  // Fisher and anchor
  CHECK(need("ewc", {{"lambda", 0.0}}).kept == 0);
  CHECK(need("kif").kept == 3 * 4000);                                 // old values, sensitivity, uncertainty
  CHECK(need("kif", {{"memory", std::int64_t{5}}}).kept == 4 * 4000);  // and what the memory phase may train
  CHECK(need("ilora").kept == 4000);
  CHECK(need("ilora", {{"gamma", 0.0}}).step == 0);
  // The eighth of 8 layers is shared: 300 states of 50 floats, a Gram matrix [50, 50] of doubles, two
  // adapters.
  CHECK(need("asr").kept == 300 * 50 * 4 + 50 * 50 * 8 + 2 * 4000);
  CHECK(need("asr").first_layer == 1);
  CHECK(need("asr", {{"states_budget", std::int64_t{0}}}).kept == 50 * 50 * 8 + 2 * 4000);
  CHECK(
      need("asr",
           {{"features", std::string("random_relu")}, {"width", std::int64_t{100}}, {"shared_layers", std::int64_t{0}}})
          .kept == 100 * 100 * 8 + 100 * 50 * 4 + 2 * 4000);
}

TEST_CASE("what strategies hold after the last task is in what they tell", "[memory]") {
  test::ToyOptions toy;
  toy.tasks = 3;
  toy.samples = 4;
  toy.train.epochs = 1;
  const auto bytes_of = [&](const std::string& name, test::ToyRun& run) {
    StateSizer sizer;
    sizer.object("bank", run.learner().bank());
    if (name != "er" && name != "ilora") sizer.object("strategy", run.strategy());  // samples are the stream's
    return static_cast<double>(sizer.bytes());
  };
  const double plain = bytes_of("seq", *test::trained("seq", {}, toy));
  for (const char* name : {"one", "ewc", "kif", "ilora", "asr", "seta"}) {
    const auto run = test::trained(name, {}, toy);
    const model::TransformerConfig& config = run->learner().model().config();
    model::TrainingCase step{.rows = 40};
    step.trained = run->learner().bank().values().numel();
    const double told = run->strategy().memory({config, step, {{4, 40}, {4, 40}, {4, 40}}}).kept;
    const double held = bytes_of(name, *run) - plain;
    CAPTURE(name, told, held);
    CHECK(held < 1.1 * told + 1000);  // names, counts and labels
  }
}

TEST_CASE("a run's memory is what its launcher lends it, else what is free", "[memory]") {
  ::unsetenv("MNEME_MEMORY_LIMIT");
  CHECK(static_cast<double>(memory_limit()) == Approx(static_cast<double>(free_memory())).epsilon(0.5));
  CHECK(memory_limit() > 1 << 20);
  ::setenv("MNEME_MEMORY_LIMIT", "12345", 1);
  CHECK(memory_limit() == 12345);
  ::setenv("MNEME_MEMORY_LIMIT", "much", 1);
  CHECK(memory_limit() > 1 << 20);
  ::unsetenv("MNEME_MEMORY_LIMIT");
}
