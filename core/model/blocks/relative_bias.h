#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace mneme::model::blocks {

/// How distances between positions are put into buckets (Raffel et al. 2020): small ones each have their own, larger
/// ones share logarithmically wider ones up to max_distance.
struct RelativeBuckets {
  std::int64_t buckets = 32, max_distance = 128;
  bool causal = true;  ///< only keys before the query have buckets of their own
};

/// Position bias by distance from a table of buckets. \param table [buckets, heads]; \param reach P > every distance;
/// \return float [heads, 2·P - 1], column P - 1 + key - query; differentiable in the table.
at::Tensor relative_bias(const at::Tensor& table, const RelativeBuckets& buckets, std::int64_t reach);

}  // namespace mneme::model::blocks
