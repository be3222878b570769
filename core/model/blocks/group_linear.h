#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/model/adapters.h"
#include "core/model/blocks/backend.h"
#include "core/model/blocks/packed_weight.h"

namespace mneme::model::blocks {

/// The joined weight of linears with the same input.
struct GroupWeight {
  at::Tensor weight{};                           ///< [out, in]; requires grad in full fine-tuning
  at::Tensor bias{};                             ///< [out] or undefined
  std::shared_ptr<const PackedWeight> packed{};  ///< of `weight`; nullptr: fp32 is packed at each use

  std::int64_t out() const { return weight.size(0); }
  std::int64_t in() const { return weight.size(1); }
};

/// A full weight update on some columns of the group's output.
struct ColumnDelta {
  const WeightDelta* delta = nullptr;
  std::int64_t first_column = 0;
};

/// What is added to one group's output, and where its rows belong.
struct GroupDeltas {
  std::span<const LowRankDelta> low_rank{};
  std::vector<ColumnDelta> dense{};
  const std::vector<std::int64_t>* offsets = nullptr;  ///< [B+1] starts of the sequences among the rows; for gates
  std::int64_t first_column = 0;  ///< column of the whole group's output where the weight's first row stands

  bool empty() const { return low_rank.empty() && dense.empty(); }
};

/// y = x Wᵀ + b + Σ scale·gate·(dropout(x) Aᵀ) Bᵀ + Σ scale·gate·(x dWᵀ), the sums over the deltas whose columns lie in
/// [first_column, first_column + out).
/// \param x [R, in]; \return [R, out] of x's dtype. Adapters are computed in fp32 and rounded once at the end.
at::Tensor group_linear(const GroupWeight& weight, const at::Tensor& x, const GroupDeltas& deltas,
                        const BlockContext& context);

}  // namespace mneme::model::blocks
