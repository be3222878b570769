#include "core/model/key_value_cache.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/model/blocks/fused.h"
#include "core/model/kernels/kernels.h"

namespace mneme::model {
namespace {

at::Tensor index_tensor(std::span<const std::int64_t> values) {
  return at::tensor(at::IntArrayRef(values.data(), values.size()), at::kLong);
}

/// Address of a column of the first row.
const void* column(const at::Tensor& t, std::int64_t index) {
  return static_cast<const char*>(t.const_data_ptr()) + static_cast<std::size_t>(index) * t.element_size();
}

}  // namespace

KeyValueCache::KeyValueCache(const DecoderWeights& weights, std::int64_t slots, std::int64_t capacity,
                             const blocks::BlockContext& context)
    : heads_(weights.config.num_attention_heads),
      kv_heads_(weights.config.num_key_value_heads),
      head_dim_(weights.config.head_dim),
      capacity_((capacity + 15) / 16 * 16),
      rope_(weights.rope->at_least(capacity_)),
      fused_(blocks::takes_fused(context, weights.embedding)) {
  const auto options = weights.embedding.options().requires_grad(false);
  for (std::size_t layer = 0; layer < weights.layers.size(); ++layer) {
    keys_.push_back(fused_ ? at::zeros({slots, kv_heads_, head_dim_, capacity_}, options)
                           : at::zeros({slots, kv_heads_, capacity_, head_dim_}, options));
    values_.push_back(at::zeros({slots, kv_heads_, capacity_, head_dim_}, options));
  }
}

void KeyValueCache::store(std::int64_t layer, const at::Tensor& kv, std::int64_t first_column,
                          std::span<const std::int64_t> offsets, std::span<const std::int64_t> slots) {
  const auto l = static_cast<std::size_t>(layer);
  if (!fused_) return store_reference(l, kv, first_column, offsets, slots);
  const kernels::CacheStore args{.type = blocks::storage_of(kv),
                                 .kv_heads = kv_heads_,
                                 .head_dim = head_dim_,
                                 .capacity = capacity_,
                                 .cosines = rope_->cosines.const_data_ptr<float>(),
                                 .sines = rope_->sines.const_data_ptr<float>(),
                                 .slots = slots.data(),
                                 .offsets = offsets.data(),
                                 .k = column(kv, first_column),
                                 .v = column(kv, first_column + kv_heads_ * head_dim_),
                                 .kv_stride = kv.stride(0),
                                 .keys = keys_[l].data_ptr(),
                                 .values = values_[l].data_ptr()};
  const auto sequences = static_cast<std::int64_t>(slots.size());
  const double work = 10.0 * static_cast<double>(kv.size(0) * head_dim_) / static_cast<double>(sequences);
  blocks::for_rows(sequences * kv_heads_, work, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t t = first; t < last; ++t) kernels::table().cache_store(args, t / kv_heads_, t % kv_heads_);
  });
}

at::Tensor KeyValueCache::attend(std::int64_t layer, const at::Tensor& qkv, std::span<const std::int64_t> slots,
                                 std::span<const std::int64_t> positions) {
  const auto l = static_cast<std::size_t>(layer);
  if (!fused_) return attend_reference(l, qkv, slots, positions);
  at::Tensor out = at::empty({qkv.size(0), heads_ * head_dim_}, qkv.options());
  const kernels::CacheAttention args{.type = blocks::storage_of(qkv),
                                     .heads = heads_,
                                     .kv_heads = kv_heads_,
                                     .head_dim = head_dim_,
                                     .capacity = capacity_,
                                     .scale = static_cast<float>(1 / std::sqrt(static_cast<double>(head_dim_))),
                                     .cosines = rope_->cosines.const_data_ptr<float>(),
                                     .sines = rope_->sines.const_data_ptr<float>(),
                                     .slots = slots.data(),
                                     .positions = positions.data(),
                                     .q = column(qkv, 0),
                                     .k = column(qkv, heads_ * head_dim_),
                                     .v = column(qkv, (heads_ + kv_heads_) * head_dim_),
                                     .q_stride = qkv.stride(0),
                                     .kv_stride = qkv.stride(0),
                                     .keys = keys_[l].data_ptr(),
                                     .values = values_[l].data_ptr(),
                                     .out = out.data_ptr()};
  double seen = 0;
  for (const std::int64_t position : positions) seen += static_cast<double>(position + 1);
  const std::int64_t tasks = qkv.size(0) * kv_heads_;
  const double work = 8.0 * seen * static_cast<double>(heads_ * head_dim_) / static_cast<double>(tasks);
  blocks::for_rows(tasks, work, [&](std::int64_t first, std::int64_t last) {
    const at::Tensor scratch = at::empty({capacity_ + 2 * head_dim_ + 64}, at::kFloat);
    for (std::int64_t t = first; t < last; ++t)
      kernels::table().cache_attention(args, t / kv_heads_, t % kv_heads_, scratch.data_ptr<float>());
  });
  return out;
}

void KeyValueCache::store_reference(std::size_t layer, const at::Tensor& kv, std::int64_t first_column,
                                    std::span<const std::int64_t> offsets, std::span<const std::int64_t> slots) {
  const std::int64_t width = kv_heads_ * head_dim_;
  for (std::size_t s = 0; s < slots.size(); ++s) {
    const std::int64_t length = offsets[s + 1] - offsets[s];
    const auto part = [&](std::int64_t first) {
      return kv.narrow(0, offsets[s], length).narrow(1, first, width).view({length, kv_heads_, head_dim_});
    };
    const at::Tensor keys = rotated(part(first_column), at::arange(length, at::kLong), *rope_);
    keys_[layer].select(0, slots[s]).narrow(1, 0, length).copy_(keys.transpose(0, 1));
    values_[layer].select(0, slots[s]).narrow(1, 0, length).copy_(part(first_column + width).transpose(0, 1));
  }
}

at::Tensor KeyValueCache::attend_reference(std::size_t layer, const at::Tensor& qkv,
                                           std::span<const std::int64_t> slots,
                                           std::span<const std::int64_t> positions) {
  const std::int64_t rows = qkv.size(0), repeat = heads_ / kv_heads_;
  const at::Tensor slot = index_tensor(slots), where = index_tensor(positions);
  const auto part = [&](std::int64_t first, std::int64_t heads) {
    return qkv.narrow(1, first * head_dim_, heads * head_dim_).view({rows, heads, head_dim_});
  };
  const at::Tensor q = rotated(part(0, heads_), where, *rope_);
  keys_[layer].index_put_({slot, at::Tensor(), where}, rotated(part(heads_, kv_heads_), where, *rope_));
  values_[layer].index_put_({slot, at::Tensor(), where}, part(heads_ + kv_heads_, kv_heads_));
  const std::int64_t longest = *std::max_element(positions.begin(), positions.end()) + 1;
  const auto seen = [&](const at::Tensor& cache) {
    return cache.index_select(0, slot).narrow(2, 0, longest).repeat_interleave(repeat, 1);
  };
  at::Tensor scores = at::matmul(q.unsqueeze(2), seen(keys_[layer]).transpose(2, 3));
  scores = scores / std::sqrt(static_cast<double>(head_dim_));
  const at::Tensor hidden = at::arange(longest, at::kLong).unsqueeze(0) > where.unsqueeze(1);
  scores = scores.masked_fill(hidden.view({rows, 1, 1, longest}), -std::numeric_limits<double>::infinity());
  return at::matmul(at::softmax(scores, -1), seen(values_[layer])).view({rows, heads_ * head_dim_});
}

}  // namespace mneme::model
