#pragma once

#include "core/model/blocks/fused_linear_call.h"

namespace mneme::model::blocks {

/// fused_linear() of a bf16 model.
at::Tensor fused_linear_half(FusedLinearCall& call);

}  // namespace mneme::model::blocks
