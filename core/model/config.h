#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace mneme::model {

/// How rotary frequencies are stretched beyond the trained length.
struct RopeScaling {
  std::string type = "none";  ///< none, linear, llama3
  double factor = 1;
  double low_freq_factor = 1, high_freq_factor = 4;      ///< llama3
  std::int64_t original_max_position_embeddings = 8192;  ///< llama3
};

/// A transformer: a decoder (LLaMA, Mistral, Qwen2, Qwen3), or an encoder and a decoder (T5). What a family does
/// differently is a field, so that the blocks know no families. Names are those of Hugging Face's config.json where
/// the LLaMA family has them; T5's own names are translated.
struct TransformerConfig {
  std::string model_type = "llama";  ///< llama, mistral, qwen2, qwen3, t5
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t num_hidden_layers = 0;   ///< of the decoder; of the encoder where there is one
  std::int64_t num_decoder_layers = 0;  ///< behind an encoder; 0: there is no encoder
  std::int64_t num_attention_heads = 0;
  std::int64_t num_key_value_heads = 0;  ///< fewer than attention heads: grouped-query attention
  std::int64_t head_dim = 0;
  std::int64_t max_position_embeddings = 2048;
  std::string hidden_act = "silu";  ///< silu, gelu, gelu_tanh, relu
  bool gated_mlp = true;            ///< act(gate x) · (up x), else act(up x)
  bool qkv_bias = false, out_bias = false, mlp_bias = false;
  bool qk_norm = false;             ///< RMS norm of each head of q and k before the rotation
  std::int64_t sliding_window = 0;  ///< keys that a query sees, itself included; 0: all before it
  double rope_theta = 10000;
  RopeScaling rope_scaling;
  double rms_norm_eps = 1e-6;
  bool tie_word_embeddings = false;
  std::optional<std::int64_t> bos_token_id, pad_token_id;
  std::vector<std::int32_t> eos_token_ids{};  ///< each ends an answer

  // T5 alone: relative position biases in place of rotations, scores not scaled.
  std::int64_t relative_attention_num_buckets = 32, relative_attention_max_distance = 128;
  bool scale_decoder_outputs = false;  ///< hidden states times hidden_size^-1/2 before the head
  std::int64_t decoder_start_token_id = 0;

  bool encoder_decoder() const { return num_decoder_layers > 0; }
  bool rotary() const { return !encoder_decoder(); }
  std::int64_t total_layers() const { return num_hidden_layers + num_decoder_layers; }
};

/// Reads config.json (both `rope_theta`/`rope_scaling` and `rope_parameters` forms), and from a generation_config.json
/// beside it the ids that end an answer, which go before those of config.json. An unsupported field or an absurd size
/// is an Error that names the field, what was found and what is supported.
TransformerConfig read_config(const std::filesystem::path& file);

/// Writes a config.json that Hugging Face's transformers reads.
void write_config(const TransformerConfig& config, const std::filesystem::path& file);

/// Throws Error naming the field if a size is not in [1, most].
void check_size(const std::string& where, const char* field, std::int64_t value, std::int64_t most);

/// Throws Error if the model_type is none of the supported.
void check_family(const TransformerConfig& config, const std::string& where);

/// Throws Error naming the field if sizes do not fit together.
void check_config(const TransformerConfig& config, const std::string& where);

}  // namespace mneme::model
