#pragma once

#include <ATen/core/Tensor.h>

#include <utility>

#include "core/model/blocks/backend.h"

namespace mneme::model::blocks {

/// Both outputs of add_norm(), [R, D].
struct AddNormOutput {
  at::Tensor normed{};    ///< RMS norm of the sum, times the weight
  at::Tensor residual{};  ///< the sum
};

/// Residual add and RMS norm (Zhang and Sennrich 2019) in one pass: h = x + delta, n = h / sqrt(mean(h²) + eps) · w.
/// The mean is taken in fp32 at least.
/// \param delta [R, D] or undefined: then the residual is x itself.
AddNormOutput add_norm(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight, double eps,
                       const BlockContext& context);

}  // namespace mneme::model::blocks
