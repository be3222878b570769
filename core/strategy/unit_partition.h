#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/adapter/bank.h"

namespace mneme {

/// Cuts the flat parameter vector [n] into units that a method scores, keeps or averages as wholes. Units are numbered
/// in the order of the views.
class UnitPartition {
 public:
  /// A unit for every parameter tensor.
  static UnitPartition by_matrix(const std::vector<ParameterView>& views);
  /// A unit for every `ranks` successive ranks of every low-rank linear: these rows of A and these columns of B.
  /// Throws Error if a parameter belongs to no low-rank adapter, or if `ranks` does not divide an adapter's rank.
  static UnitPartition by_rank(const std::vector<ParameterView>& views, std::int64_t ranks = 1);

  std::int64_t size() const { return units_; }
  /// Units of each linear if all have equally many (by rank: rank / ranks), else 1: the inner extent of a map of units.
  std::int64_t inner_size() const;

  /// Mean of a flat vector over each unit's parameters, float64 [units].
  at::Tensor means(const at::Tensor& flat) const;
  /// Product over a unit's parts (rows of A, columns of B) of the part's mean, float64 [units]. For one rank that is
  /// the mean over the outer product of the column of B and the row of A.
  at::Tensor products_of_means(const at::Tensor& flat) const;
  /// The units' values at each of their parameters: [units] to fp32 [n].
  at::Tensor spread(const at::Tensor& per_unit) const;

 private:
  /// A piece of the flat vector that, seen as [outer, units, inner], belongs to successive units.
  struct Part {
    std::int64_t offset = 0;
    std::int64_t outer = 1, units = 1, inner = 1;
    std::int64_t first_unit = 0;

    at::Tensor of(const at::Tensor& flat) const;
  };

  std::vector<Part> parts_;
  std::int64_t units_ = 0;
  std::int64_t parameters_ = 0;
};

}  // namespace mneme
