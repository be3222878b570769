#include "core/model/weights.h"

#include <ATen/ATen.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/model/memory_estimate.h"

namespace mneme::model {
namespace {

/// Gives back the pages of a mapped file that a tensor was copied from; they are read again if they are touched.
/// Without this a model counts nearly twice while it is loaded.
void release_pages(const at::Tensor& tensor) {
  if (!tensor.is_cpu() || tensor.storage().resizable())
    return;  // memory of its own; a view of a mapped file is not resizable
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto start = reinterpret_cast<std::uintptr_t>(tensor.const_data_ptr());
  const std::uintptr_t first = (start + page - 1) / page * page, end = (start + tensor.nbytes()) / page * page;
  if (first < end) ::madvise(reinterpret_cast<void*>(first), end - first, MADV_DONTNEED);
}

/// Numbers groups and linears in the order in which a pass meets them.
class Numbering {
 public:
  explicit Numbering(ModelWeights& weights) : weights_(weights) {}

  std::int64_t add(const GroupShape& shape, std::int64_t layer) {
    if (shape.parts.empty()) return -1;
    const auto index = static_cast<std::int64_t>(weights_.groups.size());
    GroupInfo group{.name = shape.name, .layer = layer, .in = shape.in, .out = 0, .linears = {}};
    for (const auto& part : shape.parts) {
      group.linears.push_back(static_cast<std::int64_t>(weights_.linears.size()));
      weights_.linears.push_back({.name = part.name,
                                  .layer = layer,
                                  .in = shape.in,
                                  .out = part.out,
                                  .group = index,
                                  .first_column = group.out});
      group.out += part.out;
    }
    weights_.groups.push_back(std::move(group));
    return index;
  }

  void add(const AttentionShape& shape, std::int64_t layer, AttentionWeights& into) {
    into.input.index = add(shape.input, layer);
    into.memory.index = add(shape.memory, layer);
    into.output.index = add(shape.output, layer);
  }

 private:
  ModelWeights& weights_;
};

/// Fills the joined form from named tensors.
class Joiner {
 public:
  Joiner(const std::map<std::string, at::Tensor>& named, const ModelWeights& made)
      : named_(named),
        config_(made.config),
        dtype_(made.dtype),
        device_(made.device),
        precision_(made.precision),
        packs_(device_.is_cpu() && keeps_packed(config_, dtype_)) {}

  at::Tensor get(const std::string& name) const {
    const auto found = named_.find(name);
    MNEME_CHECK(found != named_.end(), "Weight '{}' is missing", name);
    const at::Tensor made = found->second.to(device_, dtype_).contiguous();
    if (!made.is_alias_of(found->second)) release_pages(found->second);
    return made;
  }
  at::Tensor optional(const std::string& name) const { return name.empty() ? at::Tensor() : get(name); }

  blocks::GroupWeight group(const GroupShape& shape) const {
    if (shape.parts.empty()) return {};
    return group_weight(joined(shape, ".weight"), shape.bias ? joined(shape, ".bias") : at::Tensor());
  }

  blocks::GroupWeight group_weight(const at::Tensor& weight, const at::Tensor& bias) const {
    blocks::GroupWeight made{.weight = weight, .bias = bias};
    if (packs_ && !weight.requires_grad()) made.packed = std::make_shared<blocks::PackedWeight>(weight, precision_);
    return made;
  }

  void attention(const AttentionShape& shape, AttentionWeights& into) const {
    if (shape.norm.empty()) return;
    into.norm = get(shape.norm);
    into.input.weight = group(shape.input);
    into.memory.weight = group(shape.memory);
    into.output.weight = group(shape.output);
    into.query_norm = optional(shape.query_norm);
    into.key_norm = optional(shape.key_norm);
    if (!shape.memory.parts.empty()) return;
    const std::int64_t queries = config_.num_attention_heads * config_.head_dim;
    into.query = rows_of(into.input.weight, 0, queries);
    into.keys = rows_of(into.input.weight, queries, into.input.weight.out() - queries);
  }

 private:
  blocks::GroupWeight rows_of(const blocks::GroupWeight& group, std::int64_t first, std::int64_t count) const {
    return group_weight(group.weight.narrow(0, first, count),
                        group.bias.defined() ? group.bias.narrow(0, first, count) : at::Tensor());
  }

  at::Tensor joined(const GroupShape& shape, const char* kind) const {
    std::vector<at::Tensor> parts;
    for (const auto& part : shape.parts) parts.push_back(get(part.name + kind));
    if (parts.size() == 1) return parts[0];
    const at::Tensor whole = at::cat(parts, 0);
    for (const at::Tensor& part : parts) release_pages(part);
    return whole;
  }

  const std::map<std::string, at::Tensor>& named_;
  const TransformerConfig& config_;
  at::ScalarType dtype_;
  at::Device device_;
  MatmulPrecision precision_;
  bool packs_;
};

/// Takes the joined form apart into views, under the names that the shapes give.
class Splitter {
 public:
  explicit Splitter(std::map<std::string, at::Tensor>& named) : named_(named) {}

  void group(const GroupShape& shape, const blocks::GroupWeight& weight) {
    std::int64_t row = 0;
    for (const auto& part : shape.parts) {
      named_[part.name + ".weight"] = weight.weight.narrow(0, row, part.out);
      if (shape.bias) named_[part.name + ".bias"] = weight.bias.narrow(0, row, part.out);
      row += part.out;
    }
  }
  void attention(const AttentionShape& shape, const AttentionWeights& weights) {
    named_[shape.norm] = weights.norm;
    named_[shape.query_norm] = weights.query_norm;
    named_[shape.key_norm] = weights.key_norm;
    group(shape.input, weights.input.weight);
    group(shape.memory, weights.memory.weight);
    group(shape.output, weights.output.weight);
  }

 private:
  std::map<std::string, at::Tensor>& named_;
};

}  // namespace

ModelWeights::ModelWeights(const TransformerConfig& c, at::ScalarType type, at::Device where)
    : config(c), dtype(type), device(where) {
  if (c.rotary()) rope = std::make_shared<blocks::RopeTable>(c.head_dim, c.rope_theta, c.rope_scaling, device);
  const auto function = blocks::activation_function(c.hidden_act);
  MNEME_CHECK(function.has_value(), "There is no activation function '{}'", c.hidden_act);
  mlp_activation = {.function = *function, .gated = c.gated_mlp};
  Numbering numbering(*this);
  for (const StackShape& stack : architecture(c).stacks) {
    const auto first = static_cast<std::int64_t>(layers.size());
    for (const LayerShape& shape : stack.layers) {
      const auto layer = static_cast<std::int64_t>(layers.size());
      LayerWeights& made = layers.emplace_back();
      numbering.add(shape.self, layer, made.self);
      numbering.add(shape.cross, layer, made.cross);
      made.mlp_input.index = numbering.add(shape.mlp_input, layer);
      made.mlp_output.index = numbering.add(shape.mlp_output, layer);
    }
    stacks.push_back({.first_layer = first,
                      .end_layer = static_cast<std::int64_t>(layers.size()),
                      .causal = stack.causal,
                      .final_norm = {},
                      .relative_bias = {}});
  }
}

bool keeps_packed(const TransformerConfig& config, at::ScalarType dtype) {
  if (dtype != at::kBFloat16) return true;
  constexpr double kMost = 4e9;
  return blocks::PackedWeight::packs_half() && 2 * static_cast<double>(parameter_count(config)) <= kMost;
}

ModelWeights make_weights(const TransformerConfig& c, at::ScalarType dtype, at::Device device,
                          MatmulPrecision precision, const std::map<std::string, at::Tensor>& named) {
  ModelWeights weights(c, dtype, device);
  weights.precision = precision;
  const Architecture shapes = architecture(c);
  const Joiner join(named, weights);
  weights.embedding = join.get(shapes.embedding);
  for (std::size_t s = 0; s < shapes.stacks.size(); ++s) {
    const StackShape& shape = shapes.stacks[s];
    StackWeights& stack = weights.stacks[s];
    stack.final_norm = join.get(shape.final_norm);
    stack.relative_bias = join.optional(shape.relative_bias);
    for (std::size_t l = 0; l < shape.layers.size(); ++l) {
      LayerWeights& layer = weights.layers[static_cast<std::size_t>(stack.first_layer) + l];
      join.attention(shape.layers[l].self, layer.self);
      join.attention(shape.layers[l].cross, layer.cross);
      layer.mlp_norm = join.get(shape.layers[l].mlp_norm);
      layer.mlp_input.weight = join.group(shape.layers[l].mlp_input);
      layer.mlp_output.weight = join.group(shape.layers[l].mlp_output);
    }
  }
  weights.head = join.group_weight(c.tie_word_embeddings ? weights.embedding : join.get(shapes.head), {});
  return weights;
}

std::vector<std::pair<std::string, at::Tensor>> named_weights(const ModelWeights& weights) {
  std::map<std::string, at::Tensor> named;
  Splitter split(named);
  const Architecture shapes = architecture(weights.config);
  named[shapes.embedding] = weights.embedding;
  named[shapes.head] = weights.head.weight;
  for (std::size_t s = 0; s < shapes.stacks.size(); ++s) {
    const StackShape& shape = shapes.stacks[s];
    const StackWeights& stack = weights.stacks[s];
    named[shape.final_norm] = stack.final_norm;
    named[shape.relative_bias] = stack.relative_bias;
    for (std::size_t l = 0; l < shape.layers.size(); ++l) {
      const LayerWeights& layer = weights.layers[static_cast<std::size_t>(stack.first_layer) + l];
      split.attention(shape.layers[l].self, layer.self);
      split.attention(shape.layers[l].cross, layer.cross);
      named[shape.layers[l].mlp_norm] = layer.mlp_norm;
      split.group(shape.layers[l].mlp_input, layer.mlp_input.weight);
      split.group(shape.layers[l].mlp_output, layer.mlp_output.weight);
    }
  }
  std::vector<std::pair<std::string, at::Tensor>> ordered;
  for (const auto& [name, shape] : weight_shapes(weights.config)) ordered.emplace_back(name, named.at(name));
  return ordered;
}

}  // namespace mneme::model
