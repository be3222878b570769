#include "core/model/decoder_stack.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/model/blocks/add_norm.h"
#include "core/model/blocks/attention.h"
#include "core/model/blocks/swiglu.h"

namespace mneme::model {

AttentionStep::~AttentionStep() = default;

at::Tensor PackedAttention::attend(std::int64_t, const at::Tensor& qkv, const at::Tensor& kv) {
  return blocks::attention(qkv, kv, kv.defined() ? pruned_ : full_, context_);
}

namespace {

/// One pass over the layers; holds what its steps share.
class Stack {
 public:
  Stack(const DecoderWeights& weights, const StackRequest& request) : weights_(weights), request_(request) {}

  StackOutput run(const at::Tensor& hidden) {
    StackOutput& out = output_;
    out.residual = hidden;
    for (std::int64_t layer = request_.first_layer; layer < request_.end_layer; ++layer) run_layer(layer);
    return std::move(output_);
  }

 private:
  void run_layer(std::int64_t layer) {
    const LayerWeights& w = weights_.layers[static_cast<std::size_t>(layer)];
    const double eps = weights_.config.rms_norm_eps;
    const bool pruned = request_.last_rows.defined() && layer + 1 == static_cast<std::int64_t>(weights_.layers.size());
    auto [normed, residual] =
        blocks::add_norm(output_.residual, output_.delta, w.attention_norm, eps, request_.context);
    if (request_.want_hidden) output_.hidden.push_back(residual);
    offsets_ = &request_.offsets;
    capture(layer, LayerGroup::kQkv, normed);
    at::Tensor attended;
    if (pruned) {
      const at::Tensor kv = linear(layer, LayerGroup::kQkv, w.kv, normed, w.q.out());
      offsets_ = &request_.last_offsets;
      const at::Tensor q = linear(layer, LayerGroup::kQkv, w.q, normed.index_select(0, request_.last_rows));
      residual = residual.index_select(0, request_.last_rows);
      attended = request_.attention->attend(layer, q, kv);
    } else {
      attended = request_.attention->attend(layer, linear(layer, LayerGroup::kQkv, w.qkv, normed), {});
    }
    capture(layer, LayerGroup::kOut, attended);
    const at::Tensor delta = linear(layer, LayerGroup::kOut, w.out, attended);
    auto mlp = blocks::add_norm(residual, delta, w.mlp_norm, eps, request_.context);
    capture(layer, LayerGroup::kGateUp, mlp.normed);
    const at::Tensor inner =
        blocks::swiglu(linear(layer, LayerGroup::kGateUp, w.gate_up, mlp.normed), request_.context);
    capture(layer, LayerGroup::kDown, inner);
    output_.delta = linear(layer, LayerGroup::kDown, w.down, inner);
    output_.residual = mlp.residual;
  }

  at::Tensor linear(std::int64_t layer, LayerGroup which, const blocks::GroupWeight& weight, const at::Tensor& x,
                    std::int64_t first_column = 0) const {
    blocks::GroupDeltas deltas;
    if (request_.adapters != nullptr) {
      const auto group = static_cast<std::size_t>(group_index(layer, which));
      if (!request_.adapters->groups.empty()) deltas.low_rank = request_.adapters->groups[group];
      for (const WeightDelta& delta : request_.adapters->weights) {
        const LinearInfo& info = weights_.linears[static_cast<std::size_t>(delta.linear)];
        if (info.group == static_cast<std::int64_t>(group))
          deltas.dense.push_back({.delta = &delta, .first_column = info.first_column});
      }
      deltas.offsets = offsets_;
      deltas.first_column = first_column;
    }
    return blocks::group_linear(weight, x, deltas, request_.context);
  }

  void capture(std::int64_t layer, LayerGroup which, const at::Tensor& input) {
    for (const std::int64_t linear : request_.capture_linears)
      if (weights_.linears[static_cast<std::size_t>(linear)].group == group_index(layer, which))
        output_.captured[linear] = input;
  }

  const DecoderWeights& weights_;
  const StackRequest& request_;
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

StackOutput run_stack(const DecoderWeights& weights, const at::Tensor& hidden, const StackRequest& request) {
  return Stack(weights, request).run(hidden);
}

at::Tensor final_norm(const DecoderWeights& weights, const StackOutput& output, const blocks::BlockContext& context) {
  return blocks::add_norm(output.residual, output.delta, weights.final_norm, weights.config.rms_norm_eps, context)
      .normed;
}

std::shared_ptr<const blocks::AttentionSpec> attention_spec(const DecoderWeights& weights, blocks::AttentionSpan span) {
  const TransformerConfig& c = weights.config;
  auto spec = std::make_shared<blocks::AttentionSpec>();
  spec->heads = c.num_attention_heads;
  spec->key_value_heads = c.num_key_value_heads;
  spec->head_dim = c.head_dim;
  spec->scale = 1 / std::sqrt(static_cast<double>(c.head_dim));
  std::int64_t longest = 1;
  for (std::size_t s = 0; s + 1 < span.key_offsets.size(); ++s)
    longest = std::max(longest, span.key_offsets[s + 1] - span.key_offsets[s]);
  spec->rope = weights.rope->at_least(longest);
  spec->span = std::move(span);
  return spec;
}

void check_adapters(const DecoderWeights& weights, const ActiveAdapters& adapters) {
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
