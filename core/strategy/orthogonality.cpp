#include "core/strategy/orthogonality.h"

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>

#include <algorithm>
#include <cmath>
#include <eigen3/Eigen/Core>

namespace mneme {

namespace {
bool is_factor(const ParameterView& view) {
  return view.role == ParameterRole::kLoraA || view.role == ParameterRole::kLoraB;
}

/// The norm of one factor; adds `scale` times its gradient. Eigen, since the products are too small for library calls.
template <class T>
double add_factor(const ParameterView& view, const T* flat, T* gradient, double scale) {
  using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Eigen::Map<const Matrix> x(flat + view.offset, view.shape[0], view.shape[1]);
  Eigen::Map<Matrix> slope(gradient + view.offset, view.shape[0], view.shape[1]);
  const bool is_a = view.role == ParameterRole::kLoraA;
  Matrix gap = is_a ? Matrix(x * x.transpose()) : Matrix(x.transpose() * x);
  gap.diagonal().array() -= T(1);
  const double norm = std::sqrt(static_cast<double>(gap.squaredNorm()) + 1e-12);
  // d ||A A^T - I||_F / dA = 2 (A A^T - I) A / norm, and likewise for B; the gap is symmetric.
  gap *= static_cast<T>(2 * scale / norm);
  if (is_a)
    slope.noalias() += gap * x;
  else
    slope.noalias() += x * gap;
  return norm;
}
}  // namespace

Orthogonality orthogonality(const std::vector<ParameterView>& views, const at::Tensor& flat) {
  Orthogonality sum{0, at::zeros_like(flat)};
  const auto factors = std::count_if(views.begin(), views.end(), is_factor);
  if (factors == 0) return sum;
  const double scale = 1 / static_cast<double>(factors);
  AT_DISPATCH_FLOATING_TYPES(flat.scalar_type(), "orthogonality", [&] {
    for (const ParameterView& view : views)
      if (is_factor(view))
        sum.value +=
            scale * add_factor(view, flat.const_data_ptr<scalar_t>(), sum.gradient.data_ptr<scalar_t>(), scale);
  });
  return sum;
}

}  // namespace mneme
