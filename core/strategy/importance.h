#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace mneme {

/// What a step says about a parameter w with gradient g.
enum class ImportanceKind {
  kFirstOrder,   ///< |w g|: how much the loss would change without w
  kSecondOrder,  ///< |w g - (w g)^2 / 2|: the same with the squared gradient for the diagonal of the Hessian
  kSquared,      ///< (w g)^2
};

struct ImportanceOptions {
  ImportanceKind kind = ImportanceKind::kFirstOrder;
  double sensitivity_decay = 0.85;  ///< part of the smoothed sensitivity that a step keeps
  double uncertainty_decay = 0.85;  ///< the same of its uncertainty
};

/// Importance of every trained parameter over a training, from the steps' gradients: with the step's score s,
///   S <- d_S S + (1 - d_S) s,   U <- d_U U + (1 - d_U) |s - S|  (with the new S),   importance = S · U.
/// Source: Zhang et al. 2023, "AdaLoRA", eqs. 8 to 10. Both averages start at zero, without bias correction.
class ImportanceTracker {
 public:
  explicit ImportanceTracker(ImportanceOptions options) : options_(options) {}

  /// Forgets everything, and frees the averages.
  void reset();
  /// One step. \param values, gradient: [n], of one floating dtype, which the averages take over.
  void update(const at::Tensor& values, const at::Tensor& gradient);
  /// [n]; undefined before the first update.
  at::Tensor importance() const;

 private:
  ImportanceOptions options_;
  at::Tensor sensitivity_, uncertainty_;
};

}  // namespace mneme
