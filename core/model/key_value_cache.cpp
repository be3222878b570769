#include "core/model/key_value_cache.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace mneme::model {
namespace {

at::Tensor index_tensor(std::span<const std::int64_t> values) {
  return at::tensor(at::IntArrayRef(values.data(), values.size()), at::kLong);
}

/// x [rows, heads, head_dim] rotated to the given positions.
at::Tensor rotate(const at::Tensor& x, const at::Tensor& positions, const blocks::RopeTable::Values& rope) {
  const std::int64_t half = x.size(2) / 2;
  const at::Tensor cosines = rope.cosines.index_select(0, positions).unsqueeze(1).to(x.options());
  const at::Tensor sines = rope.sines.index_select(0, positions).unsqueeze(1).to(x.options());
  const at::Tensor first = x.narrow(2, 0, half), second = x.narrow(2, half, half);
  return at::cat({first * cosines - second * sines, second * cosines + first * sines}, 2);
}

}  // namespace

KeyValueCache::KeyValueCache(const DecoderWeights& weights, std::int64_t slots, std::int64_t capacity,
                             const blocks::BlockContext& context)
    : weights_(weights),
      heads_(weights.config.num_attention_heads),
      kv_heads_(weights.config.num_key_value_heads),
      head_dim_(weights.config.head_dim),
      capacity_(capacity),
      context_(context) {
  const auto options = weights.embedding.options().requires_grad(false);
  for (std::size_t layer = 0; layer < weights.layers.size(); ++layer) {
    keys_.push_back(at::zeros({slots, kv_heads_, capacity, head_dim_}, options));
    values_.push_back(at::zeros({slots, kv_heads_, capacity, head_dim_}, options));
  }
}

void KeyValueCache::store(std::int64_t layer, const at::Tensor& kv, std::int64_t first_column,
                          std::span<const std::int64_t> offsets, std::span<const std::int64_t> slots) {
  const auto l = static_cast<std::size_t>(layer);
  const auto rope = weights_.rope->at_least(capacity_);
  const std::int64_t width = kv_heads_ * head_dim_;
  for (std::size_t s = 0; s < slots.size(); ++s) {
    const std::int64_t length = offsets[s + 1] - offsets[s];
    const auto part = [&](std::int64_t column) {
      return kv.narrow(0, offsets[s], length).narrow(1, column, width).view({length, kv_heads_, head_dim_});
    };
    const at::Tensor positions = at::arange(length, at::kLong);
    keys_[l]
        .select(0, slots[s])
        .narrow(1, 0, length)
        .copy_(rotate(part(first_column), positions, *rope).transpose(0, 1));
    values_[l].select(0, slots[s]).narrow(1, 0, length).copy_(part(first_column + width).transpose(0, 1));
  }
}

at::Tensor KeyValueCache::attend(std::int64_t layer, const at::Tensor& qkv, std::span<const std::int64_t> slots,
                                 std::span<const std::int64_t> positions) {
  const auto l = static_cast<std::size_t>(layer);
  const auto rope = weights_.rope->at_least(capacity_);
  const std::int64_t rows = qkv.size(0);
  const at::Tensor slot = index_tensor(slots), where = index_tensor(positions);
  const auto part = [&](std::int64_t column, std::int64_t heads) {
    return qkv.narrow(1, column * head_dim_, heads * head_dim_).view({rows, heads, head_dim_});
  };
  const at::Tensor q = rotate(part(0, heads_), where, *rope);
  keys_[l].index_put_({slot, at::Tensor(), where}, rotate(part(heads_, kv_heads_), where, *rope));
  values_[l].index_put_({slot, at::Tensor(), where}, part(heads_ + kv_heads_, kv_heads_));
  const std::int64_t longest = *std::max_element(positions.begin(), positions.end()) + 1;
  const std::int64_t repeat = heads_ / kv_heads_;
  const at::Tensor keys = keys_[l].index_select(0, slot).narrow(2, 0, longest).repeat_interleave(repeat, 1);
  const at::Tensor values = values_[l].index_select(0, slot).narrow(2, 0, longest).repeat_interleave(repeat, 1);
  at::Tensor scores = at::matmul(q.unsqueeze(2), keys.transpose(2, 3)) / std::sqrt(static_cast<double>(head_dim_));
  const at::Tensor hidden = at::arange(longest, at::kLong).unsqueeze(0) > where.unsqueeze(1);
  scores = scores.masked_fill(hidden.view({rows, 1, 1, longest}), -std::numeric_limits<double>::infinity());
  return at::matmul(at::softmax(scores, -1), values).view({rows, heads_ * head_dim_});
}

}  // namespace mneme::model
