#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "core/adapter/bank.h"

namespace mneme {

/// How far the rank-one parts of low-rank adapters are from orthonormal, with the gradient in closed form.
struct Orthogonality {
  double value = 0;
  at::Tensor gradient;  ///< fp32 [n]: d value / d flat
};

/// Mean over all low-rank factors of ||A A^T - I||_F and ||B^T B - I||_F (not squared; 1e-12 under the root, so that
/// the gradient exists at 0). \param views name the low-rank factors within flat [n]; other parameters count nothing.
Orthogonality orthogonality(const std::vector<ParameterView>& views, const at::Tensor& flat);

}  // namespace mneme
