#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "core/model/blocks/attention.h"

namespace mneme::model::blocks {

/// A span in the forms that attention on another device reads; made once per pass, for all layers.
struct SpanTables {
  at::Tensor query_offsets{}, key_offsets{};      ///< int32 [B+1]
  at::Tensor query_positions{}, key_positions{};  ///< int64 [R], [N]: places among the keys of their sequence
  std::int64_t longest_query = 0, longest_key = 0;
  bool flash = false;                   ///< else sequences are padded, for which there are:
  at::Tensor query_rows{}, key_rows{};  ///< int64 [R], [N]: rows in [B·longest]
  at::Tensor distances{};               ///< int64 [B, longest_query, longest_key]: key's minus query's place
  at::Tensor visible{};                 ///< bool [B, 1, longest_query, longest_key]
};

/// Gives the spec its tables; on the CPU it needs none.
/// \param weight of the model: its device and dtype count
void put_tables(AttentionSpec& spec, const at::Tensor& weight);

/// attention() on a device for which there are no kernels here: one call of PyTorch's for all sequences, without
/// waiting for the device. bf16 without a bias goes through flash attention over sequences end to end, all else through
/// sequences padded to the longest, by the kernel that PyTorch prefers. \param q [R, heads, head_dim] \param k, v [N,
/// kv heads, head_dim] \return [R, heads·head_dim]
at::Tensor device_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionSpec& spec);

}  // namespace mneme::model::blocks
