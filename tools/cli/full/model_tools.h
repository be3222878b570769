#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/adapter/bank.h"
#include "core/adapter/lora.h"
#include "core/data/sequence_form.h"
#include "core/model/transformer.h"
#include "core/text/tokenizer.h"
#include "tools/cli/command.h"

namespace mneme::cli {

/// The arguments of `mneme model`.
struct ModelSettings {
  std::vector<std::string> names;  ///< what to do, then operands
  std::string ids, decoder_ids, prompt, answers, adapter, data, out,
      dtype = "fp32", device = "cpu", matmul_precision = "highest", targets = "all-linear";
  std::int64_t new_tokens = 32, batch = 16, prompt_tokens = 256, answer_tokens = 16, rank = 8, steps = 0;
  double learning_rate = 1e-3;
  bool recompute = false, help = false;
};

/// A model directory with its weights, and an adapter if one was named.
struct LoadedModel {
  explicit LoadedModel(const ModelSettings& settings);

  std::filesystem::path directory;
  std::shared_ptr<model::Transformer> model;
  AdapterBank bank;
  std::optional<AdapterId> adapter;

  model::ActiveAdapters active() const;
  /// The directory's tokenizer; only commands that read or write text need one.
  const text::Tokenizer& tokenizer();
  /// Where the model wants special tokens. Throws DataError where the tokenizer belongs to another model.
  data::SequenceForm form();

 private:
  std::unique_ptr<text::Tokenizer> tokenizer_;
};

/// The LoRA that --rank and --targets describe.
LoraOptions lora_of(const ModelSettings& settings);

/// A model's directory, whether given as a path or as a name of models/.
std::filesystem::path model_directory_of(const std::string& name);

/// "5,17,3" as ids below the vocabulary's size. Throws UsageError that names the option and the part.
std::vector<std::int32_t> read_ids(const std::string& option, const std::string& text, std::int64_t vocabulary);

// What `mneme model` does; each returns an exit code.
int model_logits(const ModelSettings& settings);
int model_generate(const ModelSettings& settings);
int model_score(const ModelSettings& settings);
int model_probe(const ModelSettings& settings);

}  // namespace mneme::cli
