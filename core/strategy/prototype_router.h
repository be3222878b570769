#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/adapter/state.h"
#include "core/strategy/symmetric_matrix.h"

namespace mneme {

/// A classifier by class means and one covariance that all classes share (linear discriminant analysis with equal
/// priors), from sums that do not depend on the order of the classes: with S the scatter of all N rows within their
/// classes, score_k(z) = m_kᵀ P z - m_kᵀ P m_k / 2, P = (S / N + lambda I)⁻¹. float64.
class PrototypeRouter {
 public:
  explicit PrototypeRouter(double lambda) : lambda_(lambda) {}

  /// Takes in all rows of a class that was not learnt before. \param inputs [N, d], N >= 1
  void learn(std::int64_t label, const at::Tensor& inputs);
  /// Log-odds float64 [N, K] up to a constant per row, columns as in labels(). Throws Error if the covariance is
  /// singular.
  at::Tensor scores(const at::Tensor& inputs);

  const std::vector<std::int64_t>& labels() const { return labels_; }
  void visit_state(StateVisitor& visitor);

 private:
  double lambda_;
  std::vector<std::int64_t> labels_;
  SymmetricMatrix scatter_;
  std::int64_t rows_ = 0;
  at::Tensor means_;       // [K, d]
  at::Tensor directions_;  // P mᵀ [d, K]; undefined while it is to be solved for
};

}  // namespace mneme
