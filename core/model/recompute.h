#pragma once

#include "core/model/layer_stack.h"

namespace mneme::model {

/// run_stack() that keeps the input of each layer only and computes the layer again when its gradient is wanted: less
/// memory for about half as much work again. Gives the same numbers but for dropout, whose masks are others than
/// without (and the same in both computations of a layer).
/// The weights must be frozen and outlive the backward pass; inputs of linears cannot be captured.
StackOutput run_stack_recomputed(const ModelWeights& weights, const at::Tensor& hidden, StackRequest request,
                                 const PackedAttention& attention);

}  // namespace mneme::model
