#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/config/node.h"
#include "core/model/config.h"

namespace mneme::run {

/// Where pretraining documents come from.
struct PretrainText {
  std::string kind = "generated";  ///< generated: the made-up language of core/data/pretrain_text; files: see below
  std::uint64_t seed = 1;          ///< of the generated text and of the order of files' documents
  /// kind files: plain text (each paragraph a document) or, ending in .json, rows of prompt and answer.
  std::vector<std::filesystem::path> files;
  bool answers = true;  ///< whether rows are read with their answers, or their prompts alone
};

/// A small base model trained from text with a byte-level tokenizer; the file that `mneme pretrain` reads.
struct PretrainOptions {
  std::filesystem::path output;  ///< directory to write: config.json, model.safetensors, tokenizer_config.json
  std::string dtype = "fp32";    ///< of the stored weights: fp32 or bf16
  std::uint64_t seed = 1;
  model::TransformerConfig model;
  PretrainText text;
  std::int64_t steps = 1000;
  std::int64_t batch_tokens = 8192;  ///< input tokens per step
  std::int64_t max_length = 512;     ///< tokens of a document; longer ones are cut
  double prompt_weight = 1;          ///< weight of a prompt's tokens in the loss; an answer's weigh 1
  double learning_rate = 3e-3;       ///< peak
  std::int64_t warmup_steps = 100;
  double decay_ratio = 0.6;  ///< last part of the steps, in which the rate falls linearly to 0
  double weight_decay = 0.05;
  double beta1 = 0.9, beta2 = 0.98;
  double clip = 1.0;
};

/// Reads a resolved config. Throws ConfigError; a key that nothing reads is an error.
PretrainOptions read_pretrain_options(const config::Node& resolved);

/// Trains and writes the model. Shows progress. \return the mean loss over the answers in the last 100 steps, nats.
double pretrain(const PretrainOptions& options);

}  // namespace mneme::run
