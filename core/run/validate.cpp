#include "core/run/validate.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/data/stream_config.h"
#include "core/run/build.h"
#include "core/run/memory.h"

namespace mneme::run {
namespace fs = std::filesystem;

namespace {

/// Tokens and steps that the stream amounts to.
struct Load {
  double steps = 0;
  double samples = 0;       ///< of all steps
  double train_tokens = 0;  ///< of all steps
  double row_tokens = 0;    ///< of one row of R: prompts read and answers written
  double row_prompts = 0;   ///< of one row of R
};

/// A task with the bytes that a token of its text has.
struct MeasuredTask {
  const data::TaskSize& size;
  double bytes_per_token;

  double tokens(std::int64_t bytes) const { return static_cast<double>(bytes) / bytes_per_token; }
};

/// Tokens of a mean row of the split, within the limit of length.
double mean_tokens(const MeasuredTask& task, const data::SplitSize& size, std::int64_t max_length) {
  const double rows = std::max(1.0, static_cast<double>(size.rows));
  return std::min(task.tokens(size.prompt_bytes + size.answer_bytes) / rows, static_cast<double>(max_length));
}

data::Split asked_split(const EvalOptions& eval) {
  return eval.split == "eval" ? data::Split::kEval : data::Split::kTest;
}

Load load_of(const RunOptions& options, const std::vector<MeasuredTask>& tasks) {
  Load load;
  const TrainOptions& train = options.train;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    const data::SplitSize& rows = tasks[i].size.split(data::Split::kTrain);
    const std::int64_t epochs = train.epochs_per_task[i];
    std::int64_t steps = (rows.rows + train.batch_size - 1) / train.batch_size * epochs;
    double samples = static_cast<double>(rows.rows * epochs);
    if (train.max_steps > 0 && steps > train.max_steps) {
      steps = train.max_steps;
      samples = static_cast<double>(steps * train.batch_size);
    }
    load.steps += static_cast<double>(steps);
    load.samples += samples;
    load.train_tokens += samples * mean_tokens(tasks[i], rows, options.max_length);
    const data::SplitSize& asked = tasks[i].size.split(asked_split(options.eval));
    load.row_prompts += static_cast<double>(asked.rows);
    load.row_tokens += static_cast<double>(asked.rows) * mean_tokens(tasks[i], asked, options.max_length);
  }
  return load;
}

/// The longest rows of a task's training split, as training will cut them (see SequenceForm::training_limits).
std::vector<RowTokens> longest_rows(const MeasuredTask& task, const RunOptions& options, bool encoder_decoder) {
  std::vector<RowTokens> rows;
  for (const data::RowSize& size : task.size.split(data::Split::kTrain).longest) {
    RowTokens row{std::llround(task.tokens(size.prompt_bytes)) + 1, std::llround(task.tokens(size.answer_bytes)) + 1};
    if (options.max_answer > 0) row.answer = std::min(row.answer, options.max_answer);
    const std::int64_t room = options.max_length - (encoder_decoder ? 0 : row.answer);
    row.prompt = std::min(row.prompt, std::max<std::int64_t>(1, room));
    rows.push_back(row);
  }
  return rows;
}

/// What the run's memory depends on.
RunLoad memory_load(const RunOptions& options, std::uint32_t capabilities, const std::vector<MeasuredTask>& tasks,
                    bool encoder_decoder) {
  RunLoad load;
  std::vector<std::vector<RowTokens>> longest;
  for (const MeasuredTask& task : tasks) {
    longest.push_back(longest_rows(task, options, encoder_decoder));
    const data::SplitSize& rows = task.size.split(data::Split::kTrain);
    const auto samples = static_cast<double>(rows.rows);
    load.tasks.push_back({samples, samples * mean_tokens(task, rows, options.max_length)});
    load.questions += task.size.split(asked_split(options.eval)).rows;
    for (const RowTokens& row : longest.back()) load.longest_prompt = std::max(load.longest_prompt, row.prompt);
    load.longest_answer = std::max(load.longest_answer, task.size.spec.max_new_tokens);
  }
  load.largest = largest_micro_batch(options.train, std::move(longest), capabilities,
                                     [](const RowTokens& row) { return row.prompt + row.answer; });
  return load;
}

/// Bytes of text per token.
double density(const text::Tokenizer& tokenizer, const std::string& specimen) {
  if (specimen.empty()) return 1;
  return static_cast<double>(specimen.size()) / std::max(1.0, static_cast<double>(tokenizer.encode(specimen).size()));
}

/// How many whole rows of R are computed after training; row 0 comes on top.
double rows_after_training(const EvalOptions& eval, double tasks, bool joint) {
  if (eval.rows == "last" || joint) return 1;
  return eval.rows == "lower" ? (tasks + 1) / 2 : tasks;
}

}  // namespace

Validator::Validator(plugin::PluginRegistry& plugins, fs::path good_data)
    : plugins_(plugins), streams_(std::move(good_data)), memory_limit_(memory_limit()) {}

Validator::Model& Validator::model(const ModelOptions& options) {
  const fs::path directory = model_directory(options);
  const auto known = models_.find(directory);
  if (known != models_.end()) return known->second;
  Model model;
  model.config = model::read_config(directory / "config.json");
  model.parameters = model::parameter_count(model.config);
  model.tokenizer = text::load_tokenizer(directory);
  sequence_form(*model.tokenizer, options);
  return models_.emplace(directory, std::move(model)).first->second;
}

Forecast Validator::check(const config::Node& resolved) {
  RunOptions options = read_options(resolved);
  const PluginDescriptor& descriptor = plugins_.load(options.strategy);
  const auto strategy =
      plugin::create_strategy(descriptor, strategy_params(descriptor.parameters(), options.strategy_node));
  Model& model = this->model(options.model);
  const auto tasks = data::check_stream(options.stream_node, streams_);
  std::vector<data::TaskSpec> specs;
  for (const data::TaskSize& task : tasks) specs.push_back(task.spec);
  options.train.epochs_per_task = epochs_per_task(options.train, specs);

  std::vector<MeasuredTask> measured;
  for (const data::TaskSize& task : tasks) {
    const std::string& specimen = task.split(data::Split::kTrain).specimen;
    const auto [known, fresh] = model.densities.try_emplace(specimen, 0);
    if (fresh) known->second = density(*model.tokenizer, specimen);
    measured.push_back({task, known->second});
  }
  const Load load = load_of(options, measured);
  const bool joint = (descriptor.capabilities & kJointTraining) != 0;
  const double rows = rows_after_training(options.eval, static_cast<double>(tasks.size()), joint);
  const auto parameters = static_cast<double>(model.parameters);
  const auto [step, bytes] = foresee_memory(
      options, model.config, *strategy,
      memory_load(options, descriptor.capabilities, measured, model.config.encoder_decoder()), memory_limit_);

  Forecast forecast;
  forecast.strategy = descriptor.name;
  forecast.family =
      fmt::format("{} {} {}", options.model.path.filename().string(), options.model.dtype, options.adapter.kind);
  forecast.train_work = 4 * parameters * load.train_tokens;  // forward, and backward through frozen weights
  forecast.eval_work = 2 * parameters * load.row_tokens * rows;
  forecast.first_work = 2 * parameters * load.row_tokens;
  forecast.memory_bytes = static_cast<std::int64_t>(bytes.total());
  forecast.recompute = step.recompute;
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
  forecast.disk_bytes = static_cast<std::int64_t>(
      kFiles + kBytesPerStep * load.steps + kBytesPerAnswer * load.row_prompts * (rows + 1) + 4 * stored_tokens +
      4 * static_cast<double>(step.trained) * (adapters + (options.save.checkpoint ? 3 : 0)));
  return forecast;
}

}  // namespace mneme::run
