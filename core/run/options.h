#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/config/node.h"
#include "core/data/stream.h"
#include "core/eval/evaluator.h"
#include "core/model/blocks/backend.h"
#include "core/strategy/params.h"
#include "core/strategy/strategy.h"
#include "core/train/options.h"

namespace mneme::run {

/// What configs call fp32 and bf16.
c10::ScalarType scalar_type(const std::string& dtype);
/// What they call highest and high.
model::MatmulPrecision matmul_precision(const std::string& name);

/// The config group `model`.
struct ModelOptions {
  std::filesystem::path path;  ///< a Hugging Face style directory, or the name of a model that Mneme brings
  std::string dtype = "fp32";  ///< of the frozen weights: fp32 or bf16
  std::string device = "cpu";  ///< where the model runs, see open_device()
  std::string matmul_precision = "highest";  ///< of fp32 products with frozen weights, see model::MatmulPrecision
};

/// The config group `save`.
struct SaveOptions {
  std::string adapters = "last";  ///< last, all or none: after which tasks adapters are written as PEFT directories
  bool checkpoint = true;         ///< whether a killed run can go on after its last finished task
};

/// One run, typed and checked: the only place where a resolved config becomes options.
struct RunOptions {
  std::uint64_t seed = 0;
  std::int64_t max_length = 512;  ///< tokens of prompt and answer together
  std::int64_t max_answer = 0;    ///< tokens of an answer that are learnt; 0: all
  std::string cache;              ///< directory of caches (tokens, features); "" for none
  ModelOptions model;
  AdapterOptions adapter;
  TrainOptions train;
  std::string recompute = "auto";  ///< activations: auto, always or never, see foresee_memory()
  EvalOptions eval;
  model::GenerateOptions generation;  ///< the keys of `eval` that say how answers are made
  SaveOptions save;
  std::string strategy;      ///< a plugin's name or path
  config::Node stream_node;  ///< checked where the stream is built
  config::Node strategy_node;
};

/// Reads a resolved config. Throws ConfigError with position, key path, what was found and what was expected; a key
/// that nothing reads is an error that names the nearest known one.
RunOptions read_options(const config::Node& resolved);

/// Settings of the strategy as its plugin's schema types them.
Params strategy_params(const ParamSpecs& specs, const config::Node& strategy_node);

}  // namespace mneme::run
