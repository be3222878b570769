#pragma once

#include "core/config/node.h"
#include "core/data/mini8.h"
#include "core/data/stream.h"
#include "core/data/stream_check.h"

namespace mneme::data {

/// The options of a stream of kind `files` from the resolved `stream` group:
///   kind: files   name   root   directory   seed   max_train   max_eval   max_test   order: [name, ..]
///   tasks: {name: {metric, more_metrics, labels, max_new_tokens, instruction, cue, keep_from, cut_front, source,
///   epochs (where train.epochs_per_task is empty; else train.epochs), directory}}
/// Throws ConfigError with file, line and the nearest key for unknown keys, wrong types and missing values.
StreamOptions stream_options(const config::Node& stream);

/// The options of the generated stream: kind: mini8, seed, train_rows, eval_rows, test_rows, order.
Mini8Options mini8_options(const config::Node& stream);

/// The stream of the resolved `stream` group, of whatever kind. Throws ConfigError and DataError.
Stream build_stream(const config::Node& stream);

/// The same stream with every row of it checked, see StreamChecker.
std::vector<TaskSize> check_stream(const config::Node& stream, StreamChecker& checker);

}  // namespace mneme::data
