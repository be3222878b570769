#pragma once

#include "core/model/blocks/group_linear.h"

namespace mneme::model::blocks {

/// Whether fused_linear() computes this: fp32 on the CPU, adapters in fp32.
bool fused_linear_takes(const GroupWeight& weight, const at::Tensor& x, const GroupDeltas& deltas);

/// group_linear() without the dense deltas, by own kernels with a hand-written backward pass.
at::Tensor fused_linear(const GroupWeight& weight, const at::Tensor& x, const GroupDeltas& deltas,
                        const BlockContext& context);

}  // namespace mneme::model::blocks
