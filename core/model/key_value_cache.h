#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/model/decoder_weights.h"

namespace mneme::model {

/// Keys (rotated) and values of all layers for a fixed number of sequences ("slots") up to a fixed length. For
/// inference only: nothing here records gradients.
class KeyValueCache {
 public:
  KeyValueCache(const DecoderWeights& weights, std::int64_t slots, std::int64_t capacity,
                const blocks::BlockContext& context);

  /// Stores the keys and values of whole sequences from position 0.
  /// \param kv [N, …] with keys from `first_column` on, values behind them; offsets [n+1] the sequences' rows.
  void store(std::int64_t layer, const at::Tensor& kv, std::int64_t first_column, std::span<const std::int64_t> offsets,
             std::span<const std::int64_t> slots);

  /// One new token per row: stores its key and value at its position and attends to all positions up to it.
  /// \param qkv [R, (heads + 2·kv heads)·head_dim]; \return [R, heads·head_dim]
  at::Tensor attend(std::int64_t layer, const at::Tensor& qkv, std::span<const std::int64_t> slots,
                    std::span<const std::int64_t> positions);

 private:
  void store_reference(std::size_t layer, const at::Tensor& kv, std::int64_t first_column,
                       std::span<const std::int64_t> offsets, std::span<const std::int64_t> slots);
  at::Tensor attend_reference(std::size_t layer, const at::Tensor& qkv, std::span<const std::int64_t> slots,
                              std::span<const std::int64_t> positions);

  std::int64_t heads_, kv_heads_, head_dim_, capacity_;
  std::shared_ptr<const blocks::RopeTable::Values> rope_;
  bool fused_;
  /// Per layer [slots, kv heads, capacity, head_dim]; fused keys are [slots, kv heads, head_dim, capacity].
  std::vector<at::Tensor> keys_, values_;
};

}  // namespace mneme::model
