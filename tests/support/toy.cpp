#include "tests/support/toy.h"

#include <ATen/ATen.h>

namespace mneme::test {

std::vector<double> VectorSink::losses() const {
  std::vector<double> values;
  for (const auto& e : steps) values.push_back(e.loss);
  return values;
}

std::vector<double> VectorSink::term_values(const std::string& name) const {
  std::vector<double> values;
  for (const auto& e : terms)
    if (e.name == name) values.push_back(e.value);
  return values;
}

namespace {
constexpr std::int32_t kVocabulary = 24, kEnd = 23;
}

ToyOptions encoder_decoder(ToyOptions options) {
  options.encoder_decoder = true;
  options.adapter.lora.targets = {"q", "v", "wo"};
  return options;
}

std::shared_ptr<model::Transformer> toy_model(std::uint64_t seed, bool encoder_decoder, c10::Device device) {
  model::TransformerConfig config;
  config.vocab_size = kVocabulary;
  config.hidden_size = 16;
  config.intermediate_size = 24;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 4;
  config.eos_token_ids = {kEnd};
  if (encoder_decoder) {
    config.model_type = "t5";
    config.num_decoder_layers = 2;
    config.num_key_value_heads = config.num_attention_heads;
    config.hidden_act = "relu";
    config.gated_mlp = false;
    config.tie_word_embeddings = true;
    config.scale_decoder_outputs = true;
  }
  RandomStream rng(seed, "toy/model");
  auto made = model::Transformer::random(config, c10::ScalarType::Float, rng, device);
  // The usual start is nearly linear; larger weights make hidden states and gradients worth comparing.
  std::vector<std::pair<std::string, at::Tensor>> larger;
  for (const auto& [name, weight] : made->weights())
    larger.emplace_back(name, weight.dim() == 2 ? (weight * 8.0).detach() : weight.detach().clone());
  made->bind_weights(larger);
  return made;
}

Dataset toy_samples(std::int64_t task, std::int64_t count) {
  Dataset samples;
  RandomStream rng(99, "toy/data/" + std::to_string(task));
  for (std::int64_t i = 0; i < count; ++i) {
    Sample sample;
    sample.task = task;
    const std::int64_t length = 3 + static_cast<std::int64_t>(rng.below(5));
    for (std::int64_t k = 0; k < length; ++k) sample.tokens.push_back(static_cast<std::int32_t>(rng.below(16)));
    sample.first_label = length;
    // The same prompts want other answers in other tasks.
    sample.tokens.push_back(static_cast<std::int32_t>(16 + (sample.tokens[0] + task) % 6));
    sample.tokens.push_back(kEnd);
    samples.push_back(std::make_shared<const Sample>(std::move(sample)));
  }
  return samples;
}

ToyRun::ToyRun(std::unique_ptr<Strategy> strategy, ToyOptions options)
    : options_(std::move(options)), strategy_(std::move(strategy)) {
  learner_ = std::make_unique<Learner>(toy_model(1, options_.encoder_decoder, options_.device),
                                       LearnerOptions{options_.seed, options_.adapter, 4, 4}, sink);
  trainer_ = std::make_unique<Trainer>(*learner_, *strategy_, options_.train, sink);
  strategy_->attach(*learner_);
  trainer_->rehearse(toy_samples(1, 2));  // as every run does
  std::vector<TaskInfo> infos;
  for (std::int64_t t = 1; t <= options_.tasks; ++t) {
    TaskInfo info;
    info.name = "toy" + std::to_string(t);
    info.train_rows = options_.samples;
    infos.push_back(info);
  }
  stages_ = strategy_->plan(infos);
}

ToyRun::~ToyRun() = default;

TaskView ToyRun::view(std::int64_t index) const {
  TaskView view;
  view.stage = index;
  view.tasks = stages_.at(static_cast<std::size_t>(index - 1)).tasks;
  for (const std::int64_t task : view.tasks) {
    view.name += (view.name.empty() ? "toy" : "+toy") + std::to_string(task);
    const Dataset samples = toy_samples(task, options_.samples + 4);
    view.train.insert(view.train.end(), samples.begin(), samples.end() - 4);
    view.eval.insert(view.eval.end(), samples.end() - 4, samples.end());
  }
  return view;
}

void ToyRun::train_stage(std::int64_t index) {
  trainer_->train(view(index), [](const TrainProgress&) {});
}

void ToyRun::train_all() {
  for (std::int64_t i = 1; i <= stages(); ++i) train_stage(i);
}

at::Tensor ToyRun::all_values() {
  std::vector<at::Tensor> all;
  for (const AdapterId id : learner_->bank().ids()) all.push_back(learner_->bank().values(id).detach().clone());
  return all.empty() ? at::zeros({0}) : at::cat(all);
}

std::vector<std::vector<Tokens>> ToyRun::answers(bool task_id) {
  std::vector<std::vector<Tokens>> all;
  for (std::int64_t task = 1; task <= options_.tasks; ++task) {
    PromptBatch batch;
    if (task_id) batch.task = task;
    for (const auto& sample : toy_samples(task, 4))
      batch.prompts.push_back(
          {Tokens(sample->tokens.begin(), sample->tokens.begin() + sample->first_label), 4, {kEnd}});
    all.push_back(strategy_->predict(*learner_, batch));
  }
  return all;
}

void ToyRun::visit(StateVisitor& visitor) {
  visitor.object("bank", learner_->bank());
  visitor.object("strategy", *strategy_);
  visitor.object("trainer", *trainer_);
}

void ToyRun::save(const std::filesystem::path& file) {
  StateSaver saver;
  visit(saver);
  saver.write(file);
}

void ToyRun::load(const std::filesystem::path& file) {
  StateLoader loader(file);
  visit(loader);
}

std::string ToyRun::state_hash() {
  StateHasher hasher;
  visit(hasher);
  return hasher.hex();
}

plugin::PluginRegistry& built_plugins() {
  static plugin::PluginRegistry registry(plugin::plugin_search_path());
  return registry;
}

std::vector<std::string> plugins_under_test() {
  if (const char* plugin = std::getenv("MNEME_CONTRACT_PLUGIN")) return {plugin};
  std::vector<std::string> names;
  for (const auto& info : built_plugins().list()) names.push_back(info.name);
  return names;
}

std::unique_ptr<Strategy> make_strategy(const std::string& name, const std::map<std::string, ParamValue>& changes) {
  const PluginDescriptor& descriptor = built_plugins().load(name);
  return plugin::create_strategy(descriptor, Params::defaults(descriptor.parameters(), changes));
}

std::unique_ptr<ToyRun> trained(const std::string& name, const std::map<std::string, ParamValue>& changes,
                                const ToyOptions& options) {
  auto run = std::make_unique<ToyRun>(make_strategy(name, changes), options);
  run->train_all();
  return run;
}

}  // namespace mneme::test
