#include "core/run/build.h"

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/data/stream_config.h"
#include "core/data/tokenize.h"
#include "core/model/device.h"
#include "core/model/kernels/matrix_unit.h"

namespace mneme::run {
namespace fs = std::filesystem;

fs::path model_directory(const ModelOptions& options) {
  if (fs::exists(options.path / "config.json")) return options.path;
  const fs::path own = program_directory().parent_path() / "share/mneme/models" / options.path;
  if (fs::exists(own / "config.json")) return own;
  throw Error(fmt::format("model '{}': there is no config.json in {}{}; model.path must name a model directory",
                          options.path.string(), fs::absolute(options.path).string(),
                          options.path.is_absolute() ? "" : fmt::format(" or {}", own.string())));
}

std::unique_ptr<model::Transformer> build_model(const ModelOptions& options) {
  const model::MatmulPrecision precision = matmul_precision(options.matmul_precision);
  if (precision == model::MatmulPrecision::kHigh && model::kernels::matrix_unit() == nullptr)
    spdlog::warn("model.matmul_precision: high changes nothing, since this CPU has no matrix unit (AMX)");
  return model::Transformer::load(model_directory(options), scalar_type(options.dtype),
                                  model::open_device(options.device), precision);
}

data::Stream build_stream(const RunOptions& options) { return data::build_stream(options.stream_node); }

std::vector<std::int64_t> epochs_per_task(const TrainOptions& train, const std::vector<data::TaskSpec>& tasks) {
  if (train.epochs_per_task.empty()) {
    std::vector<std::int64_t> epochs;
    for (const data::TaskSpec& task : tasks) epochs.push_back(task.epochs.value_or(train.epochs));
    return epochs;
  }
  if (train.epochs_per_task.size() != tasks.size())
    throw ConfigError(
        fmt::format("train.epochs_per_task: has {} numbers for a stream of {} tasks; give one for each task, "
                    "or none",
                    train.epochs_per_task.size(), tasks.size()));
  return train.epochs_per_task;
}

std::vector<data::TaskSpec> task_specs(const data::Stream& stream) {
  std::vector<data::TaskSpec> specs;
  for (const data::Task& task : stream.tasks) specs.push_back(task.spec());
  return specs;
}

std::vector<TaskInfo> task_infos(const data::Stream& stream) {
  std::vector<TaskInfo> infos;
  for (const data::Task& task : stream.tasks) {
    const auto rows = [&task](data::Split split) { return static_cast<std::int64_t>(task.split(split).size()); };
    using enum data::Split;
    infos.push_back({task.name(), task.spec().metric, rows(kTrain), rows(kEval), rows(kTest), task.sha256(kTrain),
                     task.sha256(kEval), task.sha256(kTest)});
  }
  return infos;
}

Dataset build_samples(const data::Task& task, data::Split split, std::int64_t index, const data::SequenceForm& form,
                      const RunOptions& options) {
  const data::TokenizedSplit rows = data::tokenize_split(
      form.tokenizer(), task, split, form.training_limits(options.max_length, options.max_answer), options.cache);
  Dataset samples;
  for (std::size_t i = 0; i < rows.size(); ++i)
    with_context(fmt::format("training row {} of task '{}'", i, task.name()), [&] {
      const auto row = rows[i];
      Sample sample{.tokens = form.prompt(row.prompt), .first_label = 0, .task = index};
      sample.first_label = static_cast<std::int64_t>(sample.tokens.size());
      const Tokens answer = form.answer(row.answer, row.answer_cut_tokens == 0);
      sample.tokens.insert(sample.tokens.end(), answer.begin(), answer.end());
      samples.push_back(std::make_shared<const Sample>(std::move(sample)));
    });
  return samples;
}

data::SequenceForm sequence_form(const text::Tokenizer& tokenizer, const ModelOptions& options) {
  const fs::path directory = model_directory(options);
  const model::TransformerConfig config = model::read_config(directory / "config.json");
  try {
    return {tokenizer, config.encoder_decoder(), config.vocab_size};
  } catch (const DataError& e) {
    throw DataError(fmt::format("{}: {}", directory.string(), e.message()));
  }
}

}  // namespace mneme::run
