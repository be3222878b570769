#include "core/model/layer_stack.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/model/blocks/activation.h"
#include "core/model/blocks/add_norm.h"
#include "core/model/blocks/device_attention.h"
#include "core/model/blocks/relative_bias.h"
#include "core/model/device.h"

namespace mneme::model {

AttentionStep::~AttentionStep() = default;

at::Tensor PackedAttention::attend(std::int64_t, const at::Tensor& qkv, const at::Tensor& kv) {
  return blocks::attention(qkv, kv, kv.defined() ? specs_.pruned : specs_.full, context_);
}

at::Tensor PackedAttention::attend_memory(std::int64_t, const at::Tensor& q, const at::Tensor& kv) {
  const bool pruned = q.size(0) != specs_.memory->span.query_offsets.back();
  return blocks::attention(q, kv, pruned ? specs_.pruned_memory : specs_.memory, context_);
}

namespace {

/// What the adapters add to a group. \param deltas says where the rows and columns lie
blocks::GroupDeltas adapter_deltas(const ModelWeights& weights, const ActiveAdapters* adapters, std::int64_t group,
                                   blocks::GroupDeltas deltas) {
  if (adapters == nullptr) return deltas;
  if (!adapters->groups.empty()) deltas.low_rank = adapters->groups[static_cast<std::size_t>(group)];
  for (const WeightDelta& delta : adapters->weights) {
    const LinearInfo& info = weights.linears[static_cast<std::size_t>(delta.linear)];
    if (info.group == group) deltas.dense.push_back({.delta = &delta, .first_column = info.first_column});
  }
  return deltas;
}

/// One pass over the layers; holds what its steps share.
class Stack {
 public:
  Stack(const ModelWeights& weights, const StackRequest& request)
      : weights_(weights), request_(request), eps_(weights.config.rms_norm_eps) {}

  StackOutput run(const at::Tensor& hidden) {
    output_.residual = hidden;
    for (std::int64_t layer = request_.first_layer; layer < request_.end_layer; ++layer) run_layer(layer);
    return std::move(output_);
  }

 private:
  void run_layer(std::int64_t layer) {
    const LayerWeights& w = weights_.layers[static_cast<std::size_t>(layer)];
    const bool last = layer + 1 == static_cast<std::int64_t>(weights_.layers.size());
    offsets_ = &request_.offsets;
    self_attention(layer, w.self, last && request_.last_rows.defined());
    if (w.cross.norm.defined()) memory_attention(layer, w.cross);
    const at::Tensor normed = norm(w.mlp_norm);
    const at::Tensor inner = blocks::activation(linear(w.mlp_input, normed), weights_.mlp_activation, request_.context);
    output_.delta = linear(w.mlp_output, inner);
  }

  /// Adds the last sublayer's output to the residual and norms the sum.
  at::Tensor norm(const at::Tensor& weight) {
    auto [normed, residual] = blocks::add_norm(output_.residual, output_.delta, weight, eps_, request_.context);
    output_.residual = residual;
    return normed;
  }

  void self_attention(std::int64_t layer, const AttentionWeights& w, bool pruned) {
    const at::Tensor normed = norm(w.norm);
    if (request_.want_hidden) output_.hidden.push_back(output_.residual);
    at::Tensor attended;
    if (pruned) {
      capture(w.input.index, normed);
      const at::Tensor kv = head_norms(w, linear(w.input.index, w.keys, normed, w.query.out()), false, true);
      offsets_ = &request_.last_offsets;
      const at::Tensor chosen = on_device(request_.last_rows, normed.device());
      const at::Tensor rows = normed.index_select(0, chosen);
      output_.residual = output_.residual.index_select(0, chosen);
      attended =
          request_.attention->attend(layer, head_norms(w, linear(w.input.index, w.query, rows, 0), true, false), kv);
    } else {
      attended = request_.attention->attend(layer, head_norms(w, linear(w.input, normed), true, true), {});
    }
    output_.delta = linear(w.output, attended);
  }

  void memory_attention(std::int64_t layer, const AttentionWeights& w) {
    const at::Tensor q = linear(w.input, norm(w.norm));
    at::Tensor kv;
    if (request_.memory != nullptr) {
      capture(w.memory.index, request_.memory->states);
      kv = memory_keys(weights_, layer, *request_.memory, request_.adapters, request_.context);
    }
    output_.delta = linear(w.output, request_.attention->attend_memory(layer, q, kv));
  }

  /// Norms each head of the queries and keys that the columns hold.
  at::Tensor head_norms(const AttentionWeights& w, const at::Tensor& x, bool queries, bool keys) const {
    if (!w.query_norm.defined()) return x;
    const TransformerConfig& c = weights_.config;
    std::vector<at::Tensor> parts;
    std::int64_t column = 0;
    const auto normed = [&](std::int64_t heads, const at::Tensor& weight) {
      const at::Tensor rows = x.narrow(1, column, heads * c.head_dim).reshape({-1, c.head_dim});
      parts.push_back(
          blocks::add_norm(rows, {}, weight, eps_, request_.context).normed.view({x.size(0), heads * c.head_dim}));
      column += heads * c.head_dim;
    };
    if (queries) normed(c.num_attention_heads, w.query_norm);
    if (keys) normed(c.num_key_value_heads, w.key_norm);
    if (column < x.size(1)) parts.push_back(x.narrow(1, column, x.size(1) - column));
    return at::cat(parts, 1);
  }

  at::Tensor linear(const LayerGroup& group, const at::Tensor& x) {
    capture(group.index, x);
    return linear(group.index, group.weight, x, 0);
  }
  at::Tensor linear(std::int64_t group, const blocks::GroupWeight& weight, const at::Tensor& x,
                    std::int64_t first_column) const {
    const blocks::GroupDeltas place{.offsets = offsets_, .first_column = first_column};
    return blocks::group_linear(weight, x, adapter_deltas(weights_, request_.adapters, group, place), request_.context);
  }

  void capture(std::int64_t group, const at::Tensor& input) {
    for (const std::int64_t linear : request_.capture_linears)
      if (weights_.linears[static_cast<std::size_t>(linear)].group == group) output_.captured[linear] = input;
  }

  const ModelWeights& weights_;
  const StackRequest& request_;
  double eps_;
  StackOutput output_;
  const std::vector<std::int64_t>* offsets_ = nullptr;  ///< sequences of the current rows
};

void check_low_rank(const GroupInfo& group, const LowRankDelta& delta) {
  MNEME_CHECK(delta.layout != nullptr && delta.slice.defined(), "An adapter on {} has no layout or no parameters",
              group.name);
  const LowRankLayout& layout = *delta.layout;
  MNEME_CHECK(layout.rank >= 1 && layout.in == group.in,
              "An adapter on {} has rank {} and {} inputs; expected rank >= 1 "
              "and {} inputs",
              group.name, layout.rank, layout.in, group.in);
  std::int64_t column = 0;
  for (const auto& part : layout.parts) {
    MNEME_CHECK(part.first_column >= column && part.out >= 1 && part.first_column + part.out <= group.out,
                "An adapter on {} covers columns {} to {}; expected ascending parts within {} columns", group.name,
                part.first_column, part.first_column + part.out, group.out);
    column = part.first_column + part.out;
  }
  MNEME_CHECK(delta.slice.dim() == 1 && delta.slice.numel() == layout.parameters(),
              "An adapter on {} has {} parameters; its layout needs {}", group.name, delta.slice.numel(),
              layout.parameters());
  MNEME_CHECK(delta.dropout >= 0 && delta.dropout < 1, "An adapter on {} has dropout {}; expected 0 <= p < 1",
              group.name, delta.dropout);
}

}  // namespace

StackOutput run_stack(const ModelWeights& weights, const at::Tensor& hidden, const StackRequest& request) {
  return Stack(weights, request).run(hidden);
}

at::Tensor memory_keys(const ModelWeights& weights, std::int64_t layer, const Memory& memory,
                       const ActiveAdapters* adapters, const blocks::BlockContext& context) {
  const LayerGroup& group = weights.layers[static_cast<std::size_t>(layer)].cross.memory;
  const auto deltas = adapter_deltas(weights, adapters, group.index, {.offsets = &memory.offsets});
  return blocks::group_linear(group.weight, memory.states, deltas, context);
}

Memory run_encoder(const ModelWeights& weights, const TokenAxis& axis, const ActiveAdapters& adapters,
                   const blocks::BlockContext& context) {
  const StackWeights& stack = weights.stacks.front();
  PackedAttention attention({.full = attention_spec(weights, stack, axis.full_span())}, context);
  const StackOutput out = run_stack(weights, axis.embed(weights),
                                    {.adapters = &adapters,
                                     .attention = &attention,
                                     .context = context,
                                     .first_layer = stack.first_layer,
                                     .end_layer = stack.end_layer,
                                     .offsets = axis.offsets()});
  return {.states = final_norm(weights, stack, out, context), .offsets = axis.offsets()};
}

at::Tensor final_norm(const ModelWeights& weights, const StackWeights& stack, const StackOutput& output,
                      const blocks::BlockContext& context) {
  return blocks::add_norm(output.residual, output.delta, stack.final_norm, weights.config.rms_norm_eps, context).normed;
}

at::Tensor head_logits(const ModelWeights& weights, const at::Tensor& normed, const blocks::BlockContext& context) {
  const TransformerConfig& c = weights.config;
  const at::Tensor scaled =
      c.scale_decoder_outputs ? normed * (1 / std::sqrt(static_cast<double>(c.hidden_size))) : normed;
  return blocks::group_linear(weights.head, scaled, {}, context);
}

double attention_scale(const TransformerConfig& config) {
  return config.encoder_decoder() ? 1 : 1 / std::sqrt(static_cast<double>(config.head_dim));
}

at::Tensor position_bias(const ModelWeights& weights, const StackWeights& stack, std::int64_t reach) {
  if (!stack.relative_bias.defined()) return {};
  const TransformerConfig& c = weights.config;
  return blocks::relative_bias(stack.relative_bias,
                               {.buckets = c.relative_attention_num_buckets,
                                .max_distance = c.relative_attention_max_distance,
                                .causal = stack.causal},
                               reach);
}

namespace {

/// \param stack whose rows attend to each other; nullptr: rows that attend to an encoder's output
PackedAttention::Spec make_spec(const ModelWeights& weights, const StackWeights* stack, blocks::AttentionSpan span) {
  const TransformerConfig& c = weights.config;
  auto spec = std::make_shared<blocks::AttentionSpec>();
  spec->heads = c.num_attention_heads;
  spec->key_value_heads = c.num_key_value_heads;
  spec->head_dim = c.head_dim;
  spec->scale = attention_scale(c);
  spec->causal = stack != nullptr && stack->causal;
  spec->span = std::move(span);
  if (stack != nullptr) {
    const std::int64_t longest = std::max<std::int64_t>(1, blocks::longest_sequence(spec->span.key_offsets));
    spec->window = c.sliding_window;
    if (weights.rope) spec->rope = weights.rope->at_least(longest);
    spec->bias = position_bias(weights, *stack, longest);
  }
  blocks::put_tables(*spec, weights.embedding);
  return spec;
}

}  // namespace

PackedAttention::Spec memory_spec(const ModelWeights& weights, blocks::AttentionSpan span) {
  return make_spec(weights, nullptr, std::move(span));
}

PackedAttention::Spec attention_spec(const ModelWeights& weights, const StackWeights& stack,
                                     blocks::AttentionSpan span) {
  return make_spec(weights, &stack, std::move(span));
}

void check_adapters(const ModelWeights& weights, const ActiveAdapters& adapters) {
  MNEME_CHECK(adapters.groups.empty() || adapters.groups.size() == weights.groups.size(),
              "Adapters are given for {} groups; the model has {}", adapters.groups.size(), weights.groups.size());
  for (std::size_t g = 0; g < adapters.groups.size(); ++g)
    for (const LowRankDelta& delta : adapters.groups[g]) check_low_rank(weights.groups[g], delta);
  for (const WeightDelta& delta : adapters.weights) {
    MNEME_CHECK(delta.linear >= 0 && delta.linear < static_cast<std::int64_t>(weights.linears.size()),
                "A weight update names linear {}; the model has {}", delta.linear, weights.linears.size());
    const LinearInfo& linear = weights.linears[static_cast<std::size_t>(delta.linear)];
    MNEME_CHECK(delta.delta.dim() == 2 && delta.delta.size(0) == linear.out && delta.delta.size(1) == linear.in,
                "A weight update of {} has another shape than [{}, {}]", linear.name, linear.out, linear.in);
  }
}

}  // namespace mneme::model
