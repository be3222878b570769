#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace mneme::model {

/// How rotary frequencies are stretched beyond the trained length.
struct RopeScaling {
  std::string type = "none";  ///< none, linear, llama3
  double factor = 1;
  double low_freq_factor = 1, high_freq_factor = 4;      ///< llama3
  std::int64_t original_max_position_embeddings = 8192;  ///< llama3
};

/// A decoder of the LLaMA family. Names are those of Hugging Face's config.json.
struct TransformerConfig {
  std::string model_type = "llama";
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t num_hidden_layers = 0;
  std::int64_t num_attention_heads = 0;
  std::int64_t num_key_value_heads = 0;  ///< fewer than attention heads: grouped-query attention
  std::int64_t head_dim = 0;
  std::int64_t max_position_embeddings = 2048;
  double rope_theta = 10000;
  RopeScaling rope_scaling;
  double rms_norm_eps = 1e-6;
  bool tie_word_embeddings = false;
  std::optional<std::int64_t> bos_token_id, eos_token_id, pad_token_id;
};

/// Reads config.json (both `rope_theta`/`rope_scaling` and `rope_parameters` forms). An unsupported field or an absurd
/// size is an Error that names the field, what was found and what is supported.
TransformerConfig read_config(const std::filesystem::path& file);

/// Writes a config.json that Hugging Face's transformers reads.
void write_config(const TransformerConfig& config, const std::filesystem::path& file);

/// Throws Error naming the field if sizes do not fit together.
void check_config(const TransformerConfig& config, const std::string& where);

}  // namespace mneme::model
