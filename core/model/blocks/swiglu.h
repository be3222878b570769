#pragma once

#include <ATen/core/Tensor.h>

#include "core/model/blocks/backend.h"

namespace mneme::model::blocks {

/// silu(gate) · up (Shazeer 2020). \param gate_up [R, 2F], the gate first; \return [R, F].
at::Tensor swiglu(const at::Tensor& gate_up, const BlockContext& context);

}  // namespace mneme::model::blocks
