#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/data/sequence_form.h"
#include "core/data/stream.h"
#include "core/event/event.h"
#include "core/model/transformer.h"
#include "core/run/options.h"
#include "core/text/tokenizer.h"

namespace mneme::run {

/// The model directory: as given, or below the models that Mneme brings. Throws Error naming where it was sought.
std::filesystem::path model_directory(const ModelOptions& options);

std::unique_ptr<model::Transformer> build_model(const ModelOptions& options);

data::Stream build_stream(const RunOptions& options);

/// Epochs of each task of the stream: those that the config gives by position, else the task's own, else train.epochs.
/// Throws ConfigError if the config gives some, but not one number per task.
std::vector<std::int64_t> epochs_per_task(const TrainOptions& train, const std::vector<data::TaskSpec>& tasks);

std::vector<data::TaskSpec> task_specs(const data::Stream& stream);

/// What the record says about each task.
std::vector<TaskInfo> task_infos(const data::Stream& stream);

/// Training or held-out samples of a task: [bos] prompt answer eos, labels are the answer and eos.
Dataset build_samples(const data::Task& task, data::Split split, std::int64_t index, const data::SequenceForm& form,
                      const RunOptions& options);

/// Where the model of a run wants special tokens. Throws DataError where tokenizer and model do not belong together.
data::SequenceForm sequence_form(const text::Tokenizer& tokenizer, const ModelOptions& options);

}  // namespace mneme::run
