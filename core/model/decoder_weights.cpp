#include "core/model/decoder_weights.h"

#include <ATen/ATen.h>

#include "core/base/error.h"

namespace mneme::model {
namespace {

struct Part {
  const char* name;
  std::int64_t out;
};
struct GroupParts {
  const char* name;
  const char* module;
  std::int64_t in;
  std::vector<Part> parts;
};

/// The four groups of a layer, in the order of LayerGroup.
std::vector<GroupParts> layer_groups(const TransformerConfig& c) {
  const std::int64_t q = c.num_attention_heads * c.head_dim, kv = c.num_key_value_heads * c.head_dim;
  return {{"qkv", "self_attn", c.hidden_size, {{"q_proj", q}, {"k_proj", kv}, {"v_proj", kv}}},
          {"o", "self_attn", q, {{"o_proj", c.hidden_size}}},
          {"gate_up", "mlp", c.hidden_size, {{"gate_proj", c.intermediate_size}, {"up_proj", c.intermediate_size}}},
          {"down", "mlp", c.intermediate_size, {{"down_proj", c.hidden_size}}}};
}

std::string layer_name(std::int64_t layer) { return fmt::format("model.layers.{}", layer); }

constexpr const char* kEmbedding = "model.embed_tokens.weight";
constexpr const char* kFinalNorm = "model.norm.weight";
constexpr const char* kHead = "lm_head.weight";

blocks::GroupWeight group_weight(const at::Tensor& weight) {
  return {.weight = weight, .bias = {}, .packed = std::make_shared<blocks::PackedWeight>(weight.detach())};
}

blocks::GroupWeight rows_of(const blocks::GroupWeight& group, std::int64_t first, std::int64_t count) {
  return group_weight(group.weight.narrow(0, first, count));
}

}  // namespace

DecoderWeights::DecoderWeights(const TransformerConfig& c, at::ScalarType type)
    : config(c), dtype(type), rope(std::make_shared<blocks::RopeTable>(c.head_dim, c.rope_theta, c.rope_scaling)) {
  for (std::int64_t layer = 0; layer < c.num_hidden_layers; ++layer) {
    for (const GroupParts& parts : layer_groups(c)) {
      const std::string module = fmt::format("{}.{}.", layer_name(layer), parts.module);
      GroupInfo group{.name = module + parts.name, .layer = layer, .in = parts.in, .out = 0, .linears = {}};
      for (const Part& part : parts.parts) {
        group.linears.push_back(static_cast<std::int64_t>(linears.size()));
        linears.push_back({.name = module + part.name,
                           .layer = layer,
                           .in = parts.in,
                           .out = part.out,
                           .group = static_cast<std::int64_t>(groups.size()),
                           .first_column = group.out});
        group.out += part.out;
      }
      groups.push_back(std::move(group));
    }
  }
}

std::vector<std::pair<std::string, std::vector<std::int64_t>>> weight_shapes(const TransformerConfig& c) {
  std::vector<std::pair<std::string, std::vector<std::int64_t>>> shapes{{kEmbedding, {c.vocab_size, c.hidden_size}}};
  for (std::int64_t layer = 0; layer < c.num_hidden_layers; ++layer) {
    const std::string prefix = layer_name(layer);
    shapes.push_back({prefix + ".input_layernorm.weight", {c.hidden_size}});
    for (const GroupParts& group : layer_groups(c))
      for (const Part& part : group.parts)
        shapes.push_back({fmt::format("{}.{}.{}.weight", prefix, group.module, part.name), {part.out, group.in}});
    shapes.push_back({prefix + ".post_attention_layernorm.weight", {c.hidden_size}});
  }
  shapes.push_back({kFinalNorm, {c.hidden_size}});
  if (!c.tie_word_embeddings) shapes.push_back({kHead, {c.vocab_size, c.hidden_size}});
  return shapes;
}

DecoderWeights make_weights(const TransformerConfig& c, at::ScalarType dtype,
                            const std::map<std::string, at::Tensor>& named) {
  DecoderWeights weights(c, dtype);
  const auto get = [&](const std::string& name) {
    const auto found = named.find(name);
    MNEME_CHECK(found != named.end(), "Weight '{}' is missing", name);
    return found->second.to(dtype);
  };
  weights.embedding = get(kEmbedding).contiguous();
  const std::vector<GroupParts> groups = layer_groups(c);
  for (std::int64_t layer = 0; layer < c.num_hidden_layers; ++layer) {
    const std::string prefix = layer_name(layer);
    const auto joined = [&](LayerGroup which) {
      const GroupParts& group = groups[static_cast<std::size_t>(which)];
      std::vector<at::Tensor> parts;
      for (const Part& part : group.parts)
        parts.push_back(get(fmt::format("{}.{}.{}.weight", prefix, group.module, part.name)));
      return group_weight(parts.size() == 1 ? parts[0].contiguous() : at::cat(parts, 0));
    };
    LayerWeights l{.attention_norm = get(prefix + ".input_layernorm.weight").contiguous(),
                   .mlp_norm = get(prefix + ".post_attention_layernorm.weight").contiguous(),
                   .qkv = joined(LayerGroup::kQkv),
                   .out = joined(LayerGroup::kOut),
                   .gate_up = joined(LayerGroup::kGateUp),
                   .down = joined(LayerGroup::kDown),
                   .q = {},
                   .kv = {}};
    const std::int64_t q = c.num_attention_heads * c.head_dim;
    l.q = rows_of(l.qkv, 0, q);
    l.kv = rows_of(l.qkv, q, l.qkv.out() - q);
    weights.layers.push_back(std::move(l));
  }
  weights.final_norm = get(kFinalNorm).contiguous();
  weights.head = group_weight(c.tie_word_embeddings ? weights.embedding : get(kHead).contiguous());
  return weights;
}

std::vector<std::pair<std::string, at::Tensor>> named_weights(const DecoderWeights& weights) {
  std::vector<std::pair<std::string, at::Tensor>> named;
  const TransformerConfig& c = weights.config;
  const std::vector<GroupParts> groups = layer_groups(c);
  named.emplace_back(kEmbedding, weights.embedding);
  for (std::int64_t layer = 0; layer < c.num_hidden_layers; ++layer) {
    const LayerWeights& l = weights.layers[static_cast<std::size_t>(layer)];
    const std::string prefix = layer_name(layer);
    named.emplace_back(prefix + ".input_layernorm.weight", l.attention_norm);
    const blocks::GroupWeight* joined[] = {&l.qkv, &l.out, &l.gate_up, &l.down};
    for (std::size_t g = 0; g < groups.size(); ++g) {
      std::int64_t row = 0;
      for (const Part& part : groups[g].parts) {
        named.emplace_back(fmt::format("{}.{}.{}.weight", prefix, groups[g].module, part.name),
                           joined[g]->weight.narrow(0, row, part.out));
        row += part.out;
      }
    }
    named.emplace_back(prefix + ".post_attention_layernorm.weight", l.mlp_norm);
  }
  named.emplace_back(kFinalNorm, weights.final_norm);
  if (!c.tie_word_embeddings) named.emplace_back(kHead, weights.head.weight);
  return named;
}

}  // namespace mneme::model
