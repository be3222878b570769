#include "core/run/validate.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/data/stream_config.h"
#include "core/run/build.h"
#include "core/text/tokenizer.h"

namespace mneme::run {
namespace fs = std::filesystem;

namespace {

/// Weights of a model by its sizes; biases and tables of positions are too small to matter.
std::int64_t parameter_count(const model::TransformerConfig& c) {
  const std::int64_t attention = c.hidden_size * c.head_dim * (2 * c.num_attention_heads + 2 * c.num_key_value_heads);
  const std::int64_t mlp = (c.gated_mlp ? 3 : 2) * c.hidden_size * c.intermediate_size;
  const std::int64_t embeddings = c.vocab_size * c.hidden_size * (c.tie_word_embeddings ? 1 : 2);
  // A decoder behind an encoder attends to it, too.
  return c.total_layers() * (attention + mlp + 2 * c.hidden_size) + c.num_decoder_layers * attention + embeddings;
}

/// Trained parameters: all, or rank · (in + out) of each linear that has an adapter.
std::int64_t trained_count(const AdapterOptions& adapter, const model::TransformerConfig& c, std::int64_t all) {
  if (adapter.kind == "full") return all;
  const std::int64_t d = c.hidden_size, q = d + c.head_dim * c.num_attention_heads,
                     kv = d + c.head_dim * c.num_key_value_heads, i = d + c.intermediate_size;
  const std::map<std::string, std::int64_t> decoder{{"q_proj", q},  {"k_proj", kv},   {"v_proj", kv},  {"o_proj", q},
                                                    {"up_proj", i}, {"gate_proj", i}, {"down_proj", i}};
  const std::map<std::string, std::int64_t> t5{{"q", q},  {"k", kv},   {"v", kv},   {"o", q},
                                               {"wi", i}, {"wi_0", i}, {"wi_1", i}, {"wo", i}};
  const auto& targets = adapter.lora.targets;
  const bool every = std::find(targets.begin(), targets.end(), "all-linear") != targets.end();
  std::int64_t per_layer = 0;
  for (const auto& [name, sum] : c.encoder_decoder() ? t5 : decoder)
    if (every || std::find(targets.begin(), targets.end(), name) != targets.end()) per_layer += sum;
  return adapter.lora.rank * per_layer * (c.total_layers() - adapter.lora.first_layer);
}

/// Tokens and steps that the stream amounts to.
struct Load {
  double steps = 0;
  double samples = 0;       ///< of all steps
  double train_tokens = 0;  ///< of all steps
  double row_tokens = 0;    ///< of one row of R: prompts read and answers written
  double row_prompts = 0;   ///< of one row of R
};

/// Tokens of a mean row of the split, within the limit of length.
double mean_tokens(const data::SplitSize& size, double bytes_per_token, std::int64_t max_length) {
  const double bytes =
      static_cast<double>(size.prompt_bytes + size.answer_bytes) / std::max(1.0, static_cast<double>(size.rows));
  return std::min(bytes / bytes_per_token, static_cast<double>(max_length));
}

Load load_of(const RunOptions& options, const std::vector<data::TaskSize>& tasks, double bytes_per_token) {
  Load load;
  const TrainOptions& train = options.train;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    const data::SplitSize& rows = tasks[i].split(data::Split::kTrain);
    const std::int64_t epochs = train.epochs_per_task[i];
    std::int64_t steps = (rows.rows + train.batch_size - 1) / train.batch_size * epochs;
    double samples = static_cast<double>(rows.rows * epochs);
    if (train.max_steps > 0 && steps > train.max_steps) {
      steps = train.max_steps;
      samples = static_cast<double>(steps * train.batch_size);
    }
    load.steps += static_cast<double>(steps);
    load.samples += samples;
    load.train_tokens += samples * mean_tokens(rows, bytes_per_token, options.max_length);
    const data::SplitSize& asked =
        tasks[i].split(options.eval.split == "eval" ? data::Split::kEval : data::Split::kTest);
    load.row_prompts += static_cast<double>(asked.rows);
    load.row_tokens += static_cast<double>(asked.rows) * mean_tokens(asked, bytes_per_token, options.max_length);
  }
  return load;
}

/// How many whole rows of R are computed after training; row 0 comes on top.
double rows_after_training(const EvalOptions& eval, double tasks, bool joint) {
  if (eval.rows == "last" || joint) return 1;
  return eval.rows == "lower" ? (tasks + 1) / 2 : tasks;
}

}  // namespace

Validator::Validator(plugin::PluginRegistry& plugins, fs::path memory)
    : plugins_(plugins), streams_(std::move(memory)) {}

const Validator::Model& Validator::model(const ModelOptions& options) {
  const fs::path directory = model_directory(options);
  const auto known = models_.find(directory);
  if (known != models_.end()) return known->second;
  Model model;
  model.config = model::read_config(directory / "config.json");
  model.parameters = parameter_count(model.config);
  constexpr std::int64_t kByteVocabulary = 512;  // one token per byte, and some special ones
  if (model.config.vocab_size <= kByteVocabulary) model.bytes_per_token = 1;
  text::load_tokenizer(directory);
  return models_.emplace(directory, std::move(model)).first->second;
}

Forecast Validator::check(const config::Node& resolved) {
  RunOptions options = read_options(resolved);
  const PluginDescriptor& descriptor = plugins_.load(options.strategy);
  plugin::create_strategy(descriptor, strategy_params(descriptor.parameters(), options.strategy_node));
  const Model& model = this->model(options.model);
  const auto tasks = data::check_stream(options.stream_node, streams_);
  std::vector<data::TaskSpec> specs;
  for (const data::TaskSize& task : tasks) specs.push_back(task.spec);
  options.train.epochs_per_task = epochs_per_task(options.train, specs);

  const Load load = load_of(options, tasks, model.bytes_per_token);
  const bool joint = (descriptor.capabilities & kJointTraining) != 0;
  const double rows = rows_after_training(options.eval, static_cast<double>(tasks.size()), joint);
  const auto parameters = static_cast<double>(model.parameters);
  const auto trained = static_cast<double>(trained_count(options.adapter, model.config, model.parameters));
  const double weight_bytes = parameters * (options.model.dtype == "bf16" ? 2 : 4);

  Forecast forecast;
  forecast.strategy = descriptor.name;
  forecast.family =
      fmt::format("{} {} {}", options.model.path.filename().string(), options.model.dtype, options.adapter.kind);
  forecast.train_work = 4 * parameters * load.train_tokens;  // forward, and backward through frozen weights
  forecast.eval_work = 2 * parameters * load.row_tokens * rows;
  forecast.first_work = 2 * parameters * load.row_tokens;
  // The program itself, the weights as read and as packed, values with gradient and AdamW's moments, activations.
  constexpr double kProgram = 150e6, kFloatsPerTokenAndLayer = 30;
  const double step_tokens =
      load.train_tokens / std::max(1.0, load.steps) / static_cast<double>(options.train.accumulation);
  forecast.memory_bytes =
      static_cast<std::int64_t>(kProgram + 2 * weight_bytes + 16 * trained +
                                4 * step_tokens * kFloatsPerTokenAndLayer *
                                    static_cast<double>(model.config.hidden_size * model.config.total_layers()));
  // A method that stores samples keeps what it has seen, as far as its capacity goes.
  double stored_tokens = 0;
  if ((descriptor.capabilities & kStoresExamples) != 0) {
    const config::Node* capacity = options.strategy_node.find("capacity");
    const double most =
        capacity != nullptr && capacity->is_int() ? static_cast<double>(capacity->as_int()) : load.samples;
    stored_tokens = load.train_tokens * std::min(1.0, most / std::max(1.0, load.samples));
  }
  // Tables of the record by their rows; the checkpoint with AdamW's moments; the adapters.
  constexpr double kFiles = 80e3, kBytesPerStep = 120, kBytesPerAnswer = 150;
  const double adapters = options.save.adapters == "none"  ? 0
                          : options.save.adapters == "all" ? static_cast<double>(tasks.size())
                                                           : 1;
  forecast.disk_bytes =
      static_cast<std::int64_t>(kFiles + kBytesPerStep * load.steps + kBytesPerAnswer * load.row_prompts * (rows + 1) +
                                4 * stored_tokens + 4 * trained * (adapters + (options.save.checkpoint ? 3 : 0)));
  return forecast;
}

}  // namespace mneme::run
