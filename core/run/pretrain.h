#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "core/config/node.h"
#include "core/model/config.h"
#include "core/run/pretrain_documents.h"

namespace mneme::run {

/// A small base model trained from text; the file that `mneme pretrain` reads.
struct PretrainOptions {
  std::filesystem::path output;  ///< directory to write: config.json, model.safetensors, a tokenizer
  std::string dtype = "fp32";    ///< of the stored weights: fp32 or bf16
  std::uint64_t seed = 1;
  std::int64_t vocabulary = 0;     ///< pieces of a vocabulary learnt from the documents; 0: bytes
  model::TransformerConfig model;  ///< sizes; what the tokenizer decides is filled in
  DocumentOptions text;
  std::int64_t steps = 1000;
  std::int64_t batch_tokens = 8192;  ///< input tokens per step
  std::int64_t max_length = 512;     ///< tokens of a document (of each side of an encoder-decoder); longer ones are cut
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
