#pragma once

#include "core/model/blocks/group_linear.h"

namespace mneme::model::blocks {

/// fused_linear() of a bf16 model.
at::Tensor fused_linear_half(const GroupWeight& weight, const at::Tensor& x, const GroupDeltas& deltas,
                             const BlockContext& context);

}  // namespace mneme::model::blocks
