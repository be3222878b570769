// config.json of Hugging Face: families to the fields of TransformerConfig, and back.
#include <fmt/ranges.h>

#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/model/config.h"
#include "core/model/config_fields.h"
#include "core/text/json_fields.h"

namespace mneme::model {
namespace {

using Json = nlohmann::json;
using Fields = ConfigFields;

/// Hugging Face's names of an activation function and ours; the first of ours is what is written.
struct ActivationName {
  const char *theirs, *ours;
};
constexpr std::array<ActivationName, 6> kActivations{{{"silu", "silu"},
                                                      {"swish", "silu"},
                                                      {"gelu", "gelu"},
                                                      {"gelu_new", "gelu_tanh"},
                                                      {"gelu_pytorch_tanh", "gelu_tanh"},
                                                      {"relu", "relu"}}};

constexpr const char* kKnownActivations = "supported are silu, gelu, gelu_new, gelu_pytorch_tanh and relu";

std::optional<std::string> our_activation(std::string_view theirs) {
  for (const auto& [name, ours] : kActivations)
    if (name == theirs) return ours;
  return std::nullopt;
}

std::string their_activation(const std::string& ours) {
  for (const auto& [name, known] : kActivations)
    if (known == ours) return name;
  throw Error(fmt::format("there is no activation function '{}'", ours));
}

/// The `rope_scaling` of older files, or the `rope_parameters` of newer ones: where both are, the former counts.
void read_rope(const Fields& fields, TransformerConfig& config) {
  config.rope_theta = fields.number("rope_theta", config.rope_theta);
  const bool scaled = fields.has("rope_scaling") && !fields.at("rope_scaling").empty();
  const bool newer = fields.has("rope_parameters");
  if (!scaled && !newer) return;
  const char* key = scaled ? "rope_scaling" : "rope_parameters";
  if (!fields.at(key).is_object()) fields.refuse(key, "expected an object");
  const Fields rope(fields.at(key), fields.where() + ": " + key);
  RopeScaling& scaling = config.rope_scaling;
  config.rope_theta = rope.number("rope_theta", config.rope_theta);
  const std::string old_type = rope.text("type", "default"), type = rope.text("rope_type", old_type);
  if (type != "default" && type != "linear" && type != "llama3")
    rope.refuse(rope.has("rope_type") ? "rope_type" : "type", "supported are default, linear and llama3");
  if (rope.number("partial_rotary_factor", 1) != 1)
    rope.refuse("partial_rotary_factor", "supported is 1, where the whole head is rotated");
  if (type == "default") return;
  scaling.type = type;
  scaling.factor = rope.number("factor");
  if (type == "llama3") {
    scaling.low_freq_factor = rope.number("low_freq_factor");
    scaling.high_freq_factor = rope.number("high_freq_factor");
    scaling.original_max_position_embeddings =
        rope.integer("original_max_position_embeddings", config.max_position_embeddings);
  }
  if (const auto unread = rope.unread(); !unread.empty())
    rope.refuse(unread.front(), fmt::format("rope scaling of type '{}' has no such field here", type));
}

/// Mistral has a window where `sliding_window` is not null; Qwen where `use_sliding_window` says so, and perhaps in
/// some of its layers only.
void read_window(const Fields& fields, TransformerConfig& config) {
  const bool mistral = config.model_type == "mistral", qwen = config.model_type.starts_with("qwen");
  const bool used = mistral || (qwen && fields.boolean("use_sliding_window", false));
  if (!mistral && !qwen && fields.has("sliding_window"))
    fields.refuse("sliding_window", "this family has none; expected null or no such field");
  const std::int64_t window = fields.integer("sliding_window", used && !fields.contains("sliding_window") ? 4096 : 0);
  if (used && fields.has("sliding_window") && window < 1) fields.refuse("sliding_window", "expected at least 1");
  config.sliding_window = used ? window : 0;
  const std::int64_t full = fields.integer("max_window_layers", 28);
  if (qwen && config.sliding_window > 0 && !fields.has("layer_types")) {
    if (full >= config.num_hidden_layers) config.sliding_window = 0;
    if (full > 0 && full < config.num_hidden_layers)
      fields.refuse("max_window_layers", "supported is 0 or all layers: every layer has the window or none");
  }
  if (!fields.has("layer_types")) return;
  const Json& types = fields.at("layer_types");
  const char* expected = config.sliding_window > 0 ? "sliding_attention" : "full_attention";
  if (qwen && types.is_array() && !types.empty() && types.front() == "full_attention") {
    config.sliding_window = 0;
    expected = "full_attention";
  }
  for (const Json& type : types)
    if (type != expected) fields.refuse("layer_types", "supported is one type of attention for all layers");
}

/// The ids that end an answer.
void read_ends(const Fields& fields, TransformerConfig& config) {
  config.eos_token_ids.clear();
  for (const std::int64_t id : fields.tokens("eos_token_id")) {
    if (id >= config.vocab_size)
      fields.refuse("eos_token_id", fmt::format("expected less than vocab_size = {}", config.vocab_size));
    if (id >= 0) config.eos_token_ids.push_back(static_cast<std::int32_t>(id));
  }
}

/// As in transformers, a generation_config.json says alone what ends an answer.
void read_generation(const std::filesystem::path& file, TransformerConfig& config) {
  if (!std::filesystem::exists(file)) return;
  const Json json = text::parse_json_object(read_file(file), file.string());
  const Fields fields(json, file.string());
  read_ends(fields, config);
  const auto start = fields.token("decoder_start_token_id");
  if (config.encoder_decoder() && start && *start != config.decoder_start_token_id)
    fields.refuse("decoder_start_token_id",
                  fmt::format("config.json says {}; expected the same", config.decoder_start_token_id));
}

void read_tokens(const Fields& fields, TransformerConfig& config) {
  config.bos_token_id = fields.token("bos_token_id");
  config.pad_token_id = fields.token("pad_token_id");
  if (config.pad_token_id && *config.pad_token_id < 0) config.pad_token_id.reset();
}

void read_decoder(const Fields& fields, TransformerConfig& c) {
  const bool qwen2 = c.model_type == "qwen2", qwen3 = c.model_type == "qwen3";
  c.vocab_size = fields.integer("vocab_size");
  c.hidden_size = fields.integer("hidden_size");
  c.intermediate_size = fields.integer("intermediate_size");
  c.num_hidden_layers = fields.integer("num_hidden_layers");
  c.num_attention_heads = fields.integer("num_attention_heads");
  // null means as many as attention heads; a missing field, what the family's class has.
  const std::int64_t unsaid = c.model_type == "mistral" ? 8 : qwen2 || qwen3 ? 32 : c.num_attention_heads;
  c.num_key_value_heads =
      fields.integer("num_key_value_heads", fields.contains("num_key_value_heads") ? c.num_attention_heads : unsaid);
  check_size(fields.where(), "num_attention_heads", c.num_attention_heads, 4096);
  c.head_dim = fields.integer("head_dim", qwen3 ? 128 : c.hidden_size / c.num_attention_heads);
  c.max_position_embeddings = fields.integer("max_position_embeddings", c.max_position_embeddings);
  c.rms_norm_eps = fields.number("rms_norm_eps", c.rms_norm_eps);
  c.tie_word_embeddings = fields.boolean("tie_word_embeddings", false);
  const auto activation = our_activation(fields.text("hidden_act", "silu"));
  if (!activation) fields.refuse("hidden_act", kKnownActivations);
  c.hidden_act = *activation;
  const bool attention_bias = fields.boolean("attention_bias", false);
  if (attention_bias && (c.model_type == "mistral" || qwen2))
    fields.refuse("attention_bias", "this family has no such field");
  c.qkv_bias = attention_bias || qwen2;
  c.out_bias = attention_bias;
  c.mlp_bias = fields.boolean("mlp_bias", false);
  if (c.mlp_bias && c.model_type != "llama") fields.refuse("mlp_bias", "this family has no such field");
  c.qk_norm = qwen3;
  read_window(fields, c);
  read_rope(fields, c);
}

void read_t5(const Fields& fields, TransformerConfig& c) {
  c.vocab_size = fields.integer("vocab_size");
  c.hidden_size = fields.integer("d_model");
  c.intermediate_size = fields.integer("d_ff");
  c.num_hidden_layers = fields.integer("num_layers");
  c.num_decoder_layers = fields.integer("num_decoder_layers", c.num_hidden_layers);
  c.num_attention_heads = c.num_key_value_heads = fields.integer("num_heads");
  c.head_dim = fields.integer("d_kv");
  c.relative_attention_num_buckets = fields.integer("relative_attention_num_buckets", 32);
  c.relative_attention_max_distance = fields.integer("relative_attention_max_distance", 128);
  c.rms_norm_eps = fields.number("layer_norm_epsilon", 1e-6);
  if (!fields.boolean("is_encoder_decoder", true))
    fields.refuse("is_encoder_decoder", "supported is true: an encoder alone generates nothing");
  // "gated-gelu" means the tanh approximation, "gelu" alone the exact function.
  const std::string projection = fields.text("feed_forward_proj", "relu");
  c.gated_mlp = projection.starts_with("gated-");
  const auto activation = our_activation(c.gated_mlp ? projection.substr(6) : projection);
  if (!activation)
    fields.refuse("feed_forward_proj", "supported are relu, gelu, gelu_new, silu, and these after \"gated-\"");
  c.hidden_act = projection == "gated-gelu" ? "gelu_tanh" : *activation;
  // Both follow from feed_forward_proj; where a file has them they go before it.
  c.gated_mlp = fields.boolean("is_gated_act", c.gated_mlp);
  if (fields.has("dense_act_fn")) {
    const auto function = our_activation(fields.text("dense_act_fn", ""));
    if (!function) fields.refuse("dense_act_fn", kKnownActivations);
    c.hidden_act = *function;
  }
  // Whether the head is tied is for the weights to say; what is asked here is the scale that came with tying.
  c.tie_word_embeddings = true;
  c.scale_decoder_outputs = fields.boolean("scale_decoder_outputs", fields.boolean("tie_word_embeddings", true));
  c.decoder_start_token_id = fields.token("decoder_start_token_id").value_or(fields.token("pad_token_id").value_or(0));
}

/// Fields that change the computation in ways that no block knows.
void refuse_unsupported(const Fields& fields) {
  if (fields.has("quantization_config"))
    fields.refuse("quantization_config", "it is not supported; expected weights in bf16, fp16 or fp32");
  if (fields.number("partial_rotary_factor", 1) != 1)
    fields.refuse("partial_rotary_factor", "supported is 1, where the whole head is rotated");
}

/// Fields that change nothing that this program computes.
constexpr std::string_view kNoEffect[] = {"_name_or_path",
                                          "architectures",
                                          "attention_dropout",
                                          "auto_map",
                                          "bos_token_id",
                                          "chunk_size_feed_forward",
                                          "classifier_dropout",
                                          "dropout_rate",
                                          "dtype",
                                          "eos_token_id",
                                          "finetuning_task",
                                          "gradient_checkpointing",
                                          "id2label",
                                          "initializer_factor",
                                          "initializer_range",
                                          "is_decoder",
                                          "is_encoder_decoder",
                                          "label2id",
                                          "max_sequence_length",
                                          "max_window_layers",
                                          "model_type",
                                          "n_positions",
                                          "output_attentions",
                                          "output_hidden_states",
                                          "output_past",
                                          "pad_token_id",
                                          "pretraining_tp",
                                          "problem_type",
                                          "return_dict",
                                          "task_specific_params",
                                          "tokenizer_class",
                                          "torch_dtype",
                                          "transformers_version",
                                          "use_cache",
                                          "use_sliding_window"};

void warn_of_unread(const Fields& fields) {
  std::vector<std::string> unknown;
  for (const std::string& name : fields.unread())
    if (std::find(std::begin(kNoEffect), std::end(kNoEffect), name) == std::end(kNoEffect)) unknown.push_back(name);
  if (!unknown.empty())
    spdlog::warn("{}: unknown fields, taken to change nothing: {}", fields.where(), fmt::join(unknown, ", "));
  for (const char* key : {"attention_dropout", "dropout_rate"})
    if (fields.number(key, 0) != 0)
      spdlog::debug("{}: field '{}' is not applied; only adapters have dropout", fields.where(), key);
}

}  // namespace

TransformerConfig read_config(const std::filesystem::path& file) {
  const std::string where = file.string();
  const Json json = text::parse_json_object(read_file(file), where);
  const Fields fields(json, where);
  TransformerConfig config;
  config.model_type = fields.text("model_type", "");
  check_family(config, where);
  refuse_unsupported(fields);
  config.model_type == "t5" ? read_t5(fields, config) : read_decoder(fields, config);
  read_tokens(fields, config);
  check_config(config, where);
  read_ends(fields, config);
  read_generation(file.parent_path() / "generation_config.json", config);
  warn_of_unread(fields);
  return config;
}

namespace {

Json rope_json(const TransformerConfig& c) {
  Json rope = {{"rope_type", c.rope_scaling.type == "none" ? "default" : c.rope_scaling.type},
               {"rope_theta", c.rope_theta}};
  if (c.rope_scaling.type != "none") rope["factor"] = c.rope_scaling.factor;
  if (c.rope_scaling.type == "llama3") {
    rope["low_freq_factor"] = c.rope_scaling.low_freq_factor;
    rope["high_freq_factor"] = c.rope_scaling.high_freq_factor;
    rope["original_max_position_embeddings"] = c.rope_scaling.original_max_position_embeddings;
  }
  return rope;
}

Json decoder_json(const TransformerConfig& c) {
  const Json rope = rope_json(c);
  Json json = {{"hidden_size", c.hidden_size},
               {"intermediate_size", c.intermediate_size},
               {"num_hidden_layers", c.num_hidden_layers},
               {"num_attention_heads", c.num_attention_heads},
               {"num_key_value_heads", c.num_key_value_heads},
               {"head_dim", c.head_dim},
               {"hidden_act", their_activation(c.hidden_act)},
               {"max_position_embeddings", c.max_position_embeddings},
               {"rms_norm_eps", c.rms_norm_eps},
               {"rope_theta", c.rope_theta},
               {"rope_parameters", rope},
               {"tie_word_embeddings", c.tie_word_embeddings}};
  if (c.rope_scaling.type != "none") json["rope_scaling"] = rope;
  if (c.model_type == "llama" || c.model_type == "qwen3") json["attention_bias"] = c.out_bias;
  if (c.model_type == "llama") json["mlp_bias"] = c.mlp_bias;
  const Json window = c.sliding_window > 0 ? Json(c.sliding_window) : Json(nullptr);
  if (c.model_type == "mistral") json["sliding_window"] = window;
  if (c.model_type.starts_with("qwen")) {
    json["use_sliding_window"] = c.sliding_window > 0;
    json["sliding_window"] = window;
    json["max_window_layers"] = c.sliding_window > 0 ? 0 : c.num_hidden_layers;
  }
  return json;
}

Json t5_json(const TransformerConfig& c) {
  const std::string function = c.gated_mlp && c.hidden_act == "gelu_tanh" ? "gelu" : their_activation(c.hidden_act);
  return {{"d_model", c.hidden_size},
          {"d_ff", c.intermediate_size},
          {"num_layers", c.num_hidden_layers},
          {"num_decoder_layers", c.num_decoder_layers},
          {"num_heads", c.num_attention_heads},
          {"d_kv", c.head_dim},
          {"relative_attention_num_buckets", c.relative_attention_num_buckets},
          {"relative_attention_max_distance", c.relative_attention_max_distance},
          {"layer_norm_epsilon", c.rms_norm_eps},
          {"feed_forward_proj", (c.gated_mlp ? "gated-" : "") + function},
          {"is_gated_act", c.gated_mlp},
          {"dense_act_fn", their_activation(c.hidden_act)},
          {"is_encoder_decoder", true},
          {"tie_word_embeddings", c.scale_decoder_outputs},
          {"scale_decoder_outputs", c.scale_decoder_outputs},
          {"decoder_start_token_id", c.decoder_start_token_id}};
}

}  // namespace

void write_config(const TransformerConfig& c, const std::filesystem::path& file) {
  const std::map<std::string, const char*> classes = {{"llama", "LlamaForCausalLM"},
                                                      {"mistral", "MistralForCausalLM"},
                                                      {"qwen2", "Qwen2ForCausalLM"},
                                                      {"qwen3", "Qwen3ForCausalLM"},
                                                      {"t5", "T5ForConditionalGeneration"}};
  Json json = c.encoder_decoder() ? t5_json(c) : decoder_json(c);
  json["architectures"] = {classes.at(c.model_type)};
  json["model_type"] = c.model_type;
  json["vocab_size"] = c.vocab_size;
  const auto token = [&](const char* key, const std::optional<std::int64_t>& id) {
    json[key] = id ? Json(*id) : Json(nullptr);
  };
  token("bos_token_id", c.bos_token_id);
  const auto& ends = c.eos_token_ids;
  json["eos_token_id"] = ends.empty() ? Json(nullptr) : ends.size() == 1 ? Json(ends.front()) : Json(ends);
  token("pad_token_id", c.pad_token_id);
  write_file_atomically(file, json.dump(2) + "\n");
}

}  // namespace mneme::model
