#include "core/model/config.h"

#include <array>

#include "core/base/error.h"
#include "core/model/blocks/activation.h"

namespace mneme::model {
namespace {

constexpr std::int64_t kMost = 1 << 24;

void check_sizes(const TransformerConfig& c, const std::string& where) {
  check_size(where, "vocab_size", c.vocab_size, kMost);
  check_size(where, c.encoder_decoder() ? "d_model" : "hidden_size", c.hidden_size, 1 << 20);
  check_size(where, c.encoder_decoder() ? "d_ff" : "intermediate_size", c.intermediate_size, 1 << 22);
  check_size(where, c.encoder_decoder() ? "num_layers" : "num_hidden_layers", c.num_hidden_layers, 4096);
  check_size(where, c.encoder_decoder() ? "num_heads" : "num_attention_heads", c.num_attention_heads, 4096);
  check_size(where, "num_key_value_heads", c.num_key_value_heads, 4096);
  check_size(where, c.encoder_decoder() ? "d_kv" : "head_dim", c.head_dim, 4096);
  check_size(where, "max_position_embeddings", c.max_position_embeddings, kMost);
  if (c.num_attention_heads % c.num_key_value_heads != 0)
    throw Error(fmt::format("{}: field 'num_key_value_heads' is {}; expected a divisor of num_attention_heads = {}",
                            where, c.num_key_value_heads, c.num_attention_heads));
  if (!(c.rms_norm_eps >= 0))
    throw Error(fmt::format("{}: field 'rms_norm_eps' is {}; expected >= 0", where, c.rms_norm_eps));
}

void check_rope(const TransformerConfig& c, const std::string& where) {
  if (c.head_dim % 2 != 0)
    throw Error(fmt::format("{}: field 'head_dim' is {}; rotary positions need an even number", where, c.head_dim));
  if (!(c.rope_theta > 0)) throw Error(fmt::format("{}: field 'rope_theta' is {}; expected > 0", where, c.rope_theta));
  const RopeScaling& rope = c.rope_scaling;
  if (rope.type != "none" && rope.type != "linear" && rope.type != "llama3")
    throw Error(fmt::format("{}: rope scaling type is '{}'; supported are none, linear, llama3", where, rope.type));
  if (rope.type != "none" && !(rope.factor > 0))
    throw Error(fmt::format("{}: rope scaling factor is {}; expected > 0", where, rope.factor));
  if (rope.type == "llama3" && !(rope.high_freq_factor > rope.low_freq_factor))
    throw Error(fmt::format("{}: field 'high_freq_factor' is {}; expected more than low_freq_factor = {}", where,
                            rope.high_freq_factor, rope.low_freq_factor));
}

/// The encoder halves the buckets, and half of those are for small distances: each must be left with one at least.
void check_relative(const TransformerConfig& c, const std::string& where) {
  check_size(where, "num_decoder_layers", c.num_decoder_layers, 4096);
  check_size(where, "relative_attention_num_buckets", c.relative_attention_num_buckets, 1 << 16);
  check_size(where, "relative_attention_max_distance", c.relative_attention_max_distance, kMost);
  if (c.relative_attention_num_buckets < 4)
    throw Error(fmt::format("{}: field 'relative_attention_num_buckets' is {}; expected at least 4", where,
                            c.relative_attention_num_buckets));
  if (c.relative_attention_max_distance <= c.relative_attention_num_buckets / 2)
    throw Error(
        fmt::format("{}: field 'relative_attention_max_distance' is {}; expected more than half of "
                    "relative_attention_num_buckets = {}",
                    where, c.relative_attention_max_distance, c.relative_attention_num_buckets));
  if (c.decoder_start_token_id < 0 || c.decoder_start_token_id >= c.vocab_size)
    throw Error(fmt::format("{}: field 'decoder_start_token_id' is {}; expected 0 to vocab_size - 1 = {}", where,
                            c.decoder_start_token_id, c.vocab_size - 1));
}

}  // namespace

void check_size(const std::string& where, const char* field, std::int64_t value, std::int64_t most) {
  if (value < 1 || value > most)
    throw Error(fmt::format("{}: field '{}' is {}; expected 1 to {}", where, field, value, most));
}

void check_family(const TransformerConfig& c, const std::string& where) {
  for (const char* family : {"llama", "mistral", "qwen2", "qwen3", "t5"})
    if (c.model_type == family) return;
  throw Error(fmt::format("{}: field 'model_type' is '{}'; supported are 'llama', 'mistral', 'qwen2', 'qwen3' and 't5'",
                          where, c.model_type));
}

void check_config(const TransformerConfig& c, const std::string& where) {
  check_family(c, where);
  check_sizes(c, where);
  c.encoder_decoder() ? check_relative(c, where) : check_rope(c, where);
  if (!blocks::activation_function(c.hidden_act))
    throw Error(fmt::format("{}: there is no activation function '{}'", where, c.hidden_act));
  const std::array<std::pair<const char*, std::optional<std::int64_t>>, 2> tokens{
      {{"bos_token_id", c.bos_token_id}, {"pad_token_id", c.pad_token_id}}};
  for (const auto& [key, id] : tokens)
    if (id && *id >= c.vocab_size)
      throw Error(
          fmt::format("{}: field '{}' is {}; expected less than vocab_size = {}", where, key, *id, c.vocab_size));
}

}  // namespace mneme::model
