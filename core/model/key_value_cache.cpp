#include "core/model/key_value_cache.h"

#include <ATen/ATen.h>
#include <ATen/TensorIndexing.h>

#include <algorithm>
#include <limits>

#include "core/model/blocks/fused.h"
#include "core/model/device.h"
#include "core/model/kernels/kernels.h"
#include "core/model/layer_stack.h"

namespace mneme::model {
namespace {

/// To whole vectors of the kernels.
constexpr std::int64_t round_up(std::int64_t n) { return (n + 15) / 16 * 16; }

/// Address of a column of the first row.
const void* column(const at::Tensor& t, std::int64_t index) {
  return static_cast<const char*>(t.const_data_ptr()) + static_cast<std::size_t>(index) * t.element_size();
}

}  // namespace

KeyValueCache::KeyValueCache(const ModelWeights& weights, Holds holds, Size size, const blocks::BlockContext& context)
    : first_layer_(weights.decoder().first_layer),
      heads_(weights.config.num_attention_heads),
      kv_heads_(weights.config.num_key_value_heads),
      head_dim_(weights.config.head_dim),
      capacity_(round_up(size.capacity)),
      window_(holds == Holds::kTokens ? weights.config.sliding_window : 0),
      grows_(holds == Holds::kTokens),
      fused_(blocks::takes_fused(context, weights.embedding)),
      scale_(attention_scale(weights.config)) {
  if (grows_ && weights.rope) rope_ = weights.rope->at_least(capacity_);
  if (grows_) bias_ = position_bias(weights, weights.decoder(), capacity_);
  for (std::int64_t layer = first_layer_; layer < weights.decoder().end_layer; ++layer)
    for (auto* tensors : {&keys_, &values_})
      tensors->push_back(at::zeros({size.slots, kv_heads_, capacity_, fused_ ? round_up(head_dim_) : head_dim_},
                                   weights.embedding.options().requires_grad(false)));
}

void KeyValueCache::store(std::int64_t layer, const at::Tensor& kv, std::int64_t first_column,
                          std::span<const std::int64_t> offsets, std::span<const std::int64_t> slots) {
  const std::size_t l = index(layer);
  if (!fused_) return store_reference(l, kv, first_column, offsets, slots);
  const kernels::CacheStore args{.type = blocks::storage_of(kv),
                                 .kv_heads = kv_heads_,
                                 .head_dim = head_dim_,
                                 .capacity = capacity_,
                                 .stride = values_[l].size(3),
                                 .cosines = rope_ ? rope_->cosines.const_data_ptr<float>() : nullptr,
                                 .sines = rope_ ? rope_->sines.const_data_ptr<float>() : nullptr,
                                 .slots = slots.data(),
                                 .offsets = offsets.data(),
                                 .k = column(kv, first_column),
                                 .v = column(kv, first_column + kv_heads_ * head_dim_),
                                 .kv_stride = kv.stride(0),
                                 .keys = keys_[l].data_ptr(),
                                 .values = values_[l].data_ptr()};
  const auto sequences = static_cast<std::int64_t>(slots.size());
  const double work = 10.0 * static_cast<double>(kv.size(0) * head_dim_ * kv_heads_);
  blocks::share_tasks(
      sequences * kv_heads_, work, [&] { return at::empty({head_dim_ + 16}, at::kFloat); },
      [&](std::int64_t t, const at::Tensor& scratch) {
        kernels::table().cache_store(args, t / kv_heads_, t % kv_heads_, scratch.data_ptr<float>());
      });
}

at::Tensor KeyValueCache::attend(std::int64_t layer, const at::Tensor& qkv, std::span<const std::int64_t> slots,
                                 std::span<const std::int64_t> positions) {
  const std::size_t l = index(layer);
  if (!fused_) return attend_reference(l, qkv, slots, positions);
  at::Tensor out = at::empty({qkv.size(0), heads_ * head_dim_}, qkv.options());
  const kernels::CacheAttention args{
      .type = blocks::storage_of(qkv),
      .heads = heads_,
      .kv_heads = kv_heads_,
      .head_dim = head_dim_,
      .capacity = capacity_,
      .stride = values_[l].size(3),
      .scale = static_cast<float>(scale_),
      .window = window_,
      .bias = bias_.defined() ? bias_.const_data_ptr<float>() + bias_.size(1) / 2 : nullptr,
      .bias_stride = bias_.defined() ? bias_.size(1) : 0,
      .cosines = rope_ ? rope_->cosines.const_data_ptr<float>() : nullptr,
      .sines = rope_ ? rope_->sines.const_data_ptr<float>() : nullptr,
      .slots = slots.data(),
      .positions = positions.data(),
      .q = column(qkv, 0),
      .k = grows_ ? column(qkv, heads_ * head_dim_) : nullptr,
      .v = grows_ ? column(qkv, (heads_ + kv_heads_) * head_dim_) : nullptr,
      .q_stride = qkv.stride(0),
      .kv_stride = qkv.stride(0),
      .keys = keys_[l].data_ptr(),
      .values = values_[l].data_ptr(),
      .out = out.data_ptr()};
  double seen = 0;
  for (const std::int64_t position : positions) seen += static_cast<double>(position + 1);
  const std::int64_t tasks = qkv.size(0) * kv_heads_;
  blocks::share_tasks(
      tasks, 8.0 * seen * static_cast<double>(heads_ * head_dim_),
      [&] { return at::empty({kernels::table().cache_scratch(args)}, at::kFloat); },
      [&](std::int64_t t, const at::Tensor& scratch) {
        kernels::table().cache_attention(args, t / kv_heads_, t % kv_heads_, scratch.data_ptr<float>());
      });
  return out;
}

void KeyValueCache::reorder(std::span<const std::int64_t> sources) {
  const at::Tensor index = index_on(sources, keys_.front().device());
  for (auto* tensors : {&keys_, &values_})
    for (at::Tensor& tensor : *tensors) tensor = tensor.index_select(0, index);
}

at::Tensor KeyValueCache::rotate(const at::Tensor& x, const at::Tensor& positions) const {
  return rope_ ? rotated(x, positions, *rope_) : x;
}

void KeyValueCache::store_reference(std::size_t layer, const at::Tensor& kv, std::int64_t first_column,
                                    std::span<const std::int64_t> offsets, std::span<const std::int64_t> slots) {
  const std::int64_t width = kv_heads_ * head_dim_;
  for (std::size_t s = 0; s < slots.size(); ++s) {
    const std::int64_t length = offsets[s + 1] - offsets[s];
    const auto part = [&](std::int64_t first) {
      return kv.narrow(0, offsets[s], length).narrow(1, first, width).view({length, kv_heads_, head_dim_});
    };
    const at::Tensor keys = rotate(part(first_column), at::arange(length, kv.options().dtype(at::kLong)));
    keys_[layer].select(0, slots[s]).narrow(1, 0, length).copy_(keys.transpose(0, 1));
    values_[layer].select(0, slots[s]).narrow(1, 0, length).copy_(part(first_column + width).transpose(0, 1));
  }
}

at::Tensor KeyValueCache::attend_reference(std::size_t layer, const at::Tensor& qkv,
                                           std::span<const std::int64_t> slots,
                                           std::span<const std::int64_t> positions) {
  const std::int64_t rows = qkv.size(0), repeat = heads_ / kv_heads_;
  const at::Tensor slot = index_on(slots, qkv.device()), where = index_on(positions, qkv.device());
  const auto part = [&](std::int64_t first, std::int64_t heads) {
    return qkv.narrow(1, first * head_dim_, heads * head_dim_).view({rows, heads, head_dim_});
  };
  const at::Tensor q = rotate(part(0, heads_), where);
  if (grows_) {
    keys_[layer].index_put_({slot, at::Tensor(), where}, rotate(part(heads_, kv_heads_), where));
    values_[layer].index_put_({slot, at::Tensor(), where}, part(heads_ + kv_heads_, kv_heads_));
  }
  const std::int64_t longest = *std::max_element(positions.begin(), positions.end()) + 1;
  const auto seen = [&](const at::Tensor& cache) {
    return cache.index_select(0, slot).narrow(2, 0, longest).repeat_interleave(repeat, 1);
  };
  at::Tensor scores = at::matmul(q.unsqueeze(2), seen(keys_[layer]).transpose(2, 3)) * scale_;
  const at::Tensor distances =
      at::arange(longest, where.options()).unsqueeze(0) - where.unsqueeze(1);  // [rows, longest]
  if (bias_.defined())
    scores = scores + bias_.index({at::indexing::Slice(), distances.clamp_max(0) + bias_.size(1) / 2})
                          .transpose(0, 1)
                          .unsqueeze(2)
                          .to(scores.options());
  at::Tensor hidden = distances > 0;
  if (window_ > 0) hidden = hidden | (distances <= -window_);
  scores = scores.masked_fill(hidden.view({rows, 1, 1, longest}), -std::numeric_limits<double>::infinity());
  return at::matmul(at::softmax(scores, -1), seen(values_[layer])).view({rows, heads_ * head_dim_});
}

}  // namespace mneme::model
