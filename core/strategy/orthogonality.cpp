#include "core/strategy/orthogonality.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

namespace mneme {

Orthogonality orthogonality(const std::vector<ParameterView>& views, const at::Tensor& flat) {
  at::NoGradGuard off;
  Orthogonality sum{0, at::zeros_like(flat)};
  double factors = 0;
  for (const ParameterView& view : views) {
    const bool is_a = view.role == ParameterRole::kLoraA;
    if (!is_a && view.role != ParameterRole::kLoraB) continue;
    ++factors;
    const at::Tensor factor = view.of(flat), rows = is_a ? factor : factor.t();  // [R, width]
    at::Tensor gap = rows.mm(rows.t());
    gap.diagonal().sub_(1.0);
    const double norm = std::sqrt(gap.square().sum().item<double>() + 1e-12);
    sum.value += norm;
    // d ||X X^T - I||_F / dX = 2 (X X^T - I) X / norm; the gap is symmetric.
    at::Tensor part = view.of(sum.gradient);
    if (is_a)
      part.addmm_(gap, factor, 1, 2 / norm);
    else
      part.addmm_(factor, gap, 1, 2 / norm);
  }
  if (factors == 0) return sum;
  sum.value /= factors;
  sum.gradient.div_(factors);
  return sum;
}

}  // namespace mneme
