#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/adapter/state.h"

namespace mneme {

/// A symmetric float64 matrix [n, n] of which only the lower triangle is kept, as rows of blocks: half the memory of a
/// dense one, in pieces that matrix products take as they are.
class SymmetricMatrix {
 public:
  SymmetricMatrix() = default;
  /// The identity times `diagonal`.
  SymmetricMatrix(std::int64_t size, double diagonal);

  std::int64_t size() const { return size_; }
  /// A += factor · XᵀX, with X float64 [b, n].
  void add_gram(const at::Tensor& x, double factor = 1);
  /// X A for X float64 [b, n]: [b, n].
  at::Tensor product(const at::Tensor& x) const;
  at::Tensor dense() const;  ///< [n, n]

  void visit_state(StateVisitor& visitor);

 private:
  friend class CholeskyFactor;
  std::int64_t size_ = 0;
  std::vector<at::Tensor> rows_;  // block row i: [its rows, columns up to and including its diagonal block]
};

/// The factor L of A + shift·I = L Lᵀ, in as much memory as A.
class CholeskyFactor {
 public:
  /// Throws Error if A + shift·I is not positive definite to working precision: a pivot of at most n·eps times the
  /// largest diagonal element.
  CholeskyFactor(const SymmetricMatrix& a, double shift);

  /// X with (A + shift·I) X = B, for B float64 [n, k].
  at::Tensor solve(const at::Tensor& b) const;

 private:
  std::vector<at::Tensor> rows_;  // as in SymmetricMatrix
};

}  // namespace mneme
