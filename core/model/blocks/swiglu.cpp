#include "core/model/blocks/swiglu.h"

#include <ATen/ATen.h>

namespace mneme::model::blocks {

at::Tensor swiglu(const at::Tensor& gate_up, const BlockContext&) {
  const std::int64_t width = gate_up.size(1) / 2;
  return at::silu(gate_up.narrow(1, 0, width)) * gate_up.narrow(1, width, width);
}

}  // namespace mneme::model::blocks
