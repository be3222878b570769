// What strategies cost per optimiser step, in one process:
//   strategy_cost seq kif ilora [--layers N] [--decoder-layers N] [--width N] [--batch N] [--rows N] [--rounds N]
// Every strategy trains the same model on the same samples in turns of a few steps, so that whatever slows the machine
// down slows all of them; the CPU time of the steps of later tasks counts, in which replay and penalties act, without
// what a strategy does before and after a task. The model is the built-in one; --layers and --width make a random one
// of its shape otherwise, --decoder-layers one of T5's shape, with --layers in its encoder.
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <exception>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/random.h"
#include "core/model/config.h"
#include "tests/support/toy.h"

namespace {
using namespace mneme;
using namespace mneme::test;

/// Rows like those of mini8: 40 to 80 bytes of prompt, a short answer.
Dataset samples(std::int64_t task, std::int64_t count) {
  RandomStream rng(1, "cost/" + std::to_string(task));
  Dataset made;
  for (std::int64_t i = 0; i < count; ++i) {
    Sample sample;
    sample.task = task;
    const auto prompt = static_cast<std::int64_t>(40 + rng.below(40)),
               answer = static_cast<std::int64_t>(2 + rng.below(12));
    for (std::int64_t k = 0; k < prompt + answer; ++k)
      sample.tokens.push_back(static_cast<std::int32_t>(32 + rng.below(90)));
    sample.first_label = prompt;
    made.push_back(std::make_shared<const Sample>(std::move(sample)));
  }
  return made;
}

double cpu_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

using Numbers = std::map<std::string, std::int64_t>;

std::shared_ptr<model::Transformer> measured_model(const Numbers& numbers) {
  const auto nano = std::filesystem::path(MNEME_SOURCE_DIR) / "models/nano";
  const std::int64_t layers = numbers.at("--layers"), decoder = numbers.at("--decoder-layers"),
                     width = numbers.at("--width");
  if (layers == 0 && decoder == 0 && width == 0) return model::Transformer::load(nano, c10::ScalarType::Float);
  model::TransformerConfig config = model::read_config(nano / "config.json");
  if (layers > 0) config.num_hidden_layers = layers;
  if (width > 0) {
    config.num_attention_heads = width / config.head_dim;
    config.num_key_value_heads = std::max<std::int64_t>(1, config.num_attention_heads / 2);
    config.hidden_size = config.num_attention_heads * config.head_dim;
    config.intermediate_size = 3 * config.hidden_size;
  }
  if (decoder > 0) {
    config.model_type = "t5";
    config.num_decoder_layers = decoder;
    config.num_key_value_heads = config.num_attention_heads;
    config.hidden_act = "relu";
    config.gated_mlp = false;
    config.tie_word_embeddings = config.scale_decoder_outputs = true;
  }
  RandomStream weights(1, "cost/model");
  return model::Transformer::random(config, c10::ScalarType::Float, weights);
}

struct Contender {
  Contender(const std::string& strategy_name, const Numbers& numbers)
      : name(strategy_name), strategy(make_strategy(name)) {
    LearnerOptions options;
    options.adapter.lora = {.rank = 8, .alpha = 32, .dropout = 0, .targets = {"all-linear"}, .first_layer = 0};
    learner = std::make_unique<Learner>(measured_model(numbers), options, sink);
    TrainOptions train{.epochs = 1, .batch_size = numbers.at("--batch"), .learning_rate = 1e-4};
    trainer = std::make_unique<Trainer>(*learner, *strategy, train, sink);
    strategy->attach(*learner);
  }

  /// Trains a task of its own; returns CPU seconds per optimiser step, the first not counted.
  double train(std::int64_t rows) {
    TaskView task;
    task.stage = ++stage;
    task.tasks = {stage};
    task.name = "task" + std::to_string(stage);
    task.train = samples(stage, rows);
    std::vector<double> times;
    trainer->train(task, [&times](const TrainProgress&) { times.push_back(cpu_seconds()); });
    return (times.back() - times.front()) / static_cast<double>(times.size() - 1);
  }

  std::string name;
  VectorSink sink;
  std::unique_ptr<Strategy> strategy;
  std::unique_ptr<Learner> learner;
  std::unique_ptr<Trainer> trainer;
  std::vector<double> seconds;
  std::int64_t stage = 0;
};

void measure(int argc, char** argv) {
  at::set_num_threads(1);
  std::vector<std::string> names;
  std::vector<std::unique_ptr<Contender>> contenders;
  Numbers numbers = {{"--rows", 160}, {"--rounds", 15}, {"--batch", 4},
                     {"--layers", 0}, {"--width", 0},   {"--decoder-layers", 0}};
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (numbers.contains(argument) && i + 1 < argc)
      numbers[argument] = std::stoll(argv[++i]);
    else
      names.push_back(argument);
  }
  for (const std::string& name : names) contenders.push_back(std::make_unique<Contender>(name, numbers));
  const std::int64_t rows = numbers["--rows"], rounds = numbers["--rounds"];
  for (auto& contender : contenders) contender->train(rows);
  for (std::int64_t round = 0; round < rounds; ++round)
    for (auto& contender : contenders) contender->seconds.push_back(contender->train(rows));
  double first_median = 0, first_least = 0;
  for (auto& contender : contenders) {
    std::sort(contender->seconds.begin(), contender->seconds.end());
    const double median = contender->seconds[contender->seconds.size() / 2], least = contender->seconds.front();
    if (first_median == 0) first_median = median, first_least = least;
    fmt::print("{:<10} median {:8.3f} ms per step, {:.3f} of {}; least {:8.3f} ms, {:.3f}\n", contender->name,
               1e3 * median, median / first_median, contenders.front()->name, 1e3 * least, least / first_least);
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    measure(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "strategy_cost: {}\n", error.what());
    return 1;
  }
  return 0;
}
