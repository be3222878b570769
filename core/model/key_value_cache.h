#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/model/weights.h"

namespace mneme::model {

/// Keys (rotated) and values of the decoder's layers for a fixed number of sequences ("slots") up to a fixed length:
/// of their own tokens, or of the encoder's output. For inference only: nothing here records gradients.
class KeyValueCache {
 public:
  enum class Holds { kTokens, kMemory };
  struct Size {
    std::int64_t slots, capacity;  ///< sequences, positions of each
  };

  KeyValueCache(const ModelWeights& weights, Holds holds, Size size, const blocks::BlockContext& context);

  /// Stores the keys and values of whole sequences from position 0.
  /// \param kv [N, …] with keys from `first_column` on, values behind them; offsets [n+1] the sequences' rows.
  void store(std::int64_t layer, const at::Tensor& kv, std::int64_t first_column, std::span<const std::int64_t> offsets,
             std::span<const std::int64_t> slots);

  /// One new token per row: stores its key and value at its position and attends to all positions up to it. Of a
  /// memory nothing is stored.
  /// \param qkv [R, (heads + 2·kv heads)·head_dim], or of a memory the queries alone
  /// \return [R, heads·head_dim]
  at::Tensor attend(std::int64_t layer, const at::Tensor& qkv, std::span<const std::int64_t> slots,
                    std::span<const std::int64_t> positions);

  /// Slot i becomes what sources[i] was, for all slots.
  void reorder(std::span<const std::int64_t> sources);

 private:
  at::Tensor rotate(const at::Tensor& x, const at::Tensor& positions) const;
  void store_reference(std::size_t layer, const at::Tensor& kv, std::int64_t first_column,
                       std::span<const std::int64_t> offsets, std::span<const std::int64_t> slots);
  at::Tensor attend_reference(std::size_t layer, const at::Tensor& qkv, std::span<const std::int64_t> slots,
                              std::span<const std::int64_t> positions);

  std::size_t index(std::int64_t layer) const { return static_cast<std::size_t>(layer - first_layer_); }

  std::int64_t first_layer_, heads_, kv_heads_, head_dim_, capacity_, window_;
  bool grows_, fused_;
  double scale_;
  std::shared_ptr<const blocks::RopeTable::Values> rope_{};
  at::Tensor bias_{};  ///< see AttentionSpec
  /// Per layer [slots, kv heads, capacity, head_dim], of the model's type; fused ones with head_dim rounded up to whole
  /// vectors.
  std::vector<at::Tensor> keys_, values_;
};

}  // namespace mneme::model
