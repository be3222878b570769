#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/model/blocks/backend.h"
#include "core/model/blocks/rope.h"

namespace mneme::model::blocks {

/// Which queries see which keys. Sequences lie end to end on a query axis and on a key axis.
struct AttentionSpan {
  std::vector<std::int64_t> query_offsets{};  ///< [B+1]
  std::vector<std::int64_t> key_offsets{};    ///< [B+1]; nq <= nk in every sequence of causal attention
  /// Position of each query among its sequence's keys, ascending; empty: the queries are the last nq positions.
  std::vector<std::int64_t> query_positions{};

  std::int64_t sequences() const { return static_cast<std::int64_t>(query_offsets.size()) - 1; }
  std::int64_t position(std::int64_t sequence, std::int64_t query) const;  ///< query: row on the query axis
};

/// Rows of the longest sequence of an axis; 0 where there is none.
std::int64_t longest_sequence(const std::vector<std::int64_t>& offsets);

struct SpanTables;  // see device_attention.h

/// Everything about one attention; shared, since the backward pass needs it later.
struct AttentionSpec {
  std::int64_t heads = 0, key_value_heads = 0, head_dim = 0;
  double scale = 1;
  bool causal = true;       ///< a query sees the keys up to its own position; else all keys of its sequence
  std::int64_t window = 0;  ///< causal only: keys that a query sees at most, the nearest ones; 0: no limit
  std::shared_ptr<const RopeTable::Values> rope{};  ///< nullptr: no rotation
  /// [heads, 2·P - 1], added to the scores: column P - 1 + j - i for key j and query i; undefined: none.
  at::Tensor bias{};
  AttentionSpan span;
  std::shared_ptr<const SpanTables> tables{};  ///< of the span, by put_tables(); on the CPU none

  std::int64_t bias_reach() const { return (bias.size(1) + 1) / 2; }  ///< P: positions that the bias covers
};

/// Attention with rotary positions or a position bias (key j of a sequence stands at position j), grouped queries and
/// sequences of any length. Differentiable in the bias too.
/// \param qkv [N, (heads + 2·key_value_heads)·head_dim] where queries and keys share their rows (`kv` undefined), else
///        the queries alone [R, heads·head_dim]
/// \param kv [N, 2·key_value_heads·head_dim] or undefined
/// \return [R, heads·head_dim]
at::Tensor attention(const at::Tensor& qkv, const at::Tensor& kv, const std::shared_ptr<const AttentionSpec>& spec,
                     const BlockContext& context);

}  // namespace mneme::model::blocks
