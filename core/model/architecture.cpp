#include "core/model/architecture.h"

#include <fmt/format.h>

namespace mneme::model {
namespace {

using Parts = std::vector<std::pair<const char*, std::int64_t>>;

GroupShape group(const std::string& module, const char* name, std::int64_t in, bool bias, const Parts& parts) {
  GroupShape shape{.name = module + "." + name, .in = in, .bias = bias, .parts = {}};
  for (const auto& [part, out] : parts) shape.parts.push_back({module + "." + part, out});
  return shape;
}

/// LLaMA, Mistral, Qwen2, Qwen3.
LayerShape decoder_layer(const TransformerConfig& c, std::int64_t index) {
  const std::string layer = fmt::format("model.layers.{}", index), attention = layer + ".self_attn",
                    mlp = layer + ".mlp";
  const std::int64_t d = c.hidden_size, q = c.num_attention_heads * c.head_dim, kv = c.num_key_value_heads * c.head_dim;
  LayerShape shape;
  shape.self = {.norm = layer + ".input_layernorm.weight",
                .input = group(attention, "qkv", d, c.qkv_bias, {{"q_proj", q}, {"k_proj", kv}, {"v_proj", kv}}),
                .memory = {},
                .output = group(attention, "o", q, c.out_bias, {{"o_proj", d}}),
                .query_norm = c.qk_norm ? attention + ".q_norm.weight" : "",
                .key_norm = c.qk_norm ? attention + ".k_norm.weight" : ""};
  shape.mlp_norm = layer + ".post_attention_layernorm.weight";
  const std::int64_t f = c.intermediate_size;
  shape.mlp_input = group(mlp, "gate_up", d, c.mlp_bias, {{"gate_proj", f}, {"up_proj", f}});
  shape.mlp_output = group(mlp, "down", f, c.mlp_bias, {{"down_proj", d}});
  return shape;
}

/// Sublayers of a T5 block are numbered: self-attention, attention to the encoder in the decoder, feed-forward.
LayerShape t5_layer(const TransformerConfig& c, const std::string& stack, std::int64_t index) {
  const std::int64_t d = c.hidden_size, inner = c.num_attention_heads * c.head_dim, f = c.intermediate_size;
  std::int64_t sublayers = 0;
  const auto sublayer = [&] { return fmt::format("{}.block.{}.layer.{}", stack, index, sublayers++); };
  LayerShape shape;
  const std::string first = sublayer(), self = first + ".SelfAttention";
  shape.self = {.norm = first + ".layer_norm.weight",
                .input = group(self, "qkv", d, false, {{"q", inner}, {"k", inner}, {"v", inner}}),
                .memory = {},
                .output = group(self, "output", inner, false, {{"o", d}}),
                .query_norm = {},
                .key_norm = {}};
  if (stack == "decoder") {
    const std::string second = sublayer(), cross = second + ".EncDecAttention";
    shape.cross = {.norm = second + ".layer_norm.weight",
                   .input = group(cross, "query", d, false, {{"q", inner}}),
                   .memory = group(cross, "kv", d, false, {{"k", inner}, {"v", inner}}),
                   .output = group(cross, "output", inner, false, {{"o", d}}),
                   .query_norm = {},
                   .key_norm = {}};
  }
  const std::string last = sublayer(), mlp = last + ".DenseReluDense";
  shape.mlp_norm = last + ".layer_norm.weight";
  shape.mlp_input = group(mlp, "input", d, false, c.gated_mlp ? Parts{{"wi_0", f}, {"wi_1", f}} : Parts{{"wi", f}});
  shape.mlp_output = group(mlp, "output", f, false, {{"wo", d}});
  return shape;
}

StackShape t5_stack(const TransformerConfig& c, const std::string& name, std::int64_t layers, bool causal) {
  StackShape stack{.causal = causal,
                   .layers = {},
                   .final_norm = name + ".final_layer_norm.weight",
                   .relative_bias = name + ".block.0.layer.0.SelfAttention.relative_attention_bias.weight"};
  for (std::int64_t l = 0; l < layers; ++l) stack.layers.push_back(t5_layer(c, name, l));
  return stack;
}

void add_group(const GroupShape& group, NamedShapes& shapes) {
  for (const auto& part : group.parts) {
    shapes.push_back({part.name + ".weight", {part.out, group.in}});
    if (group.bias) shapes.push_back({part.name + ".bias", {part.out}});
  }
}

void add_attention(const AttentionShape& attention, const TransformerConfig& c, NamedShapes& shapes) {
  if (attention.norm.empty()) return;
  shapes.push_back({attention.norm, {c.hidden_size}});
  add_group(attention.input, shapes);
  add_group(attention.memory, shapes);
  for (const std::string& norm : {attention.query_norm, attention.key_norm})
    if (!norm.empty()) shapes.push_back({norm, {c.head_dim}});
  add_group(attention.output, shapes);
}

}  // namespace

std::int64_t GroupShape::out() const {
  std::int64_t columns = 0;
  for (const Part& part : parts) columns += part.out;
  return columns;
}

Architecture architecture(const TransformerConfig& c) {
  if (c.encoder_decoder())
    return {.embedding = "shared.weight",
            .head = "lm_head.weight",
            .stacks = {t5_stack(c, "encoder", c.num_hidden_layers, false),
                       t5_stack(c, "decoder", c.num_decoder_layers, true)}};
  StackShape decoder{.causal = true, .layers = {}, .final_norm = "model.norm.weight", .relative_bias = {}};
  for (std::int64_t l = 0; l < c.num_hidden_layers; ++l) decoder.layers.push_back(decoder_layer(c, l));
  return {.embedding = "model.embed_tokens.weight", .head = "lm_head.weight", .stacks = {std::move(decoder)}};
}

NamedShapes weight_shapes(const TransformerConfig& c) {
  const Architecture a = architecture(c);
  NamedShapes shapes{{a.embedding, {c.vocab_size, c.hidden_size}}};
  for (const StackShape& stack : a.stacks) {
    if (!stack.relative_bias.empty())
      shapes.push_back({stack.relative_bias, {c.relative_attention_num_buckets, c.num_attention_heads}});
    for (const LayerShape& layer : stack.layers) {
      add_attention(layer.self, c, shapes);
      add_attention(layer.cross, c, shapes);
      add_group(layer.mlp_input, shapes);
      add_group(layer.mlp_output, shapes);
      shapes.push_back({layer.mlp_norm, {c.hidden_size}});
    }
    shapes.push_back({stack.final_norm, {c.hidden_size}});
  }
  if (!c.tie_word_embeddings) shapes.push_back({a.head, {c.vocab_size, c.hidden_size}});
  return shapes;
}

}  // namespace mneme::model
