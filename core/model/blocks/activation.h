#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <string_view>

#include "core/model/blocks/backend.h"
#include "core/model/kernels/kernels.h"

namespace mneme::model::blocks {

/// Between the two products of a feed-forward sublayer.
struct Activation {
  using Function = kernels::Function;
  Function function = Function::kSilu;
  bool gated = true;  ///< the input holds a gate and a value of the same width
};

/// nullopt for a name that is not silu, gelu, gelu_tanh or relu.
std::optional<Activation::Function> activation_function(std::string_view name);

/// f(x), or f(gate) · value (Shazeer 2020). \param x [R, F], or [R, 2F] with the gate first; \return [R, F].
at::Tensor activation(const at::Tensor& x, const Activation& kind, const BlockContext& context);

}  // namespace mneme::model::blocks
