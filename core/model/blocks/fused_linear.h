#pragma once

#include "core/model/blocks/group_linear.h"

namespace mneme::model::blocks {

/// Whether fused_linear() computes this: fp32 or bf16 on the CPU, adapters in fp32.
bool fused_linear_takes(const GroupWeight& weight, const at::Tensor& x, const GroupDeltas& deltas);

/// group_linear() without the dense deltas, with a hand-written backward pass: in fp32 by own kernels; in bf16 the
/// frozen product is a HalfProduct and what the adapters add is computed in fp32.
at::Tensor fused_linear(const GroupWeight& weight, const at::Tensor& x, const GroupDeltas& deltas,
                        const BlockContext& context);

}  // namespace mneme::model::blocks
