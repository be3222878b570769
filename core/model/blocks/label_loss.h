#pragma once

#include <ATen/core/Tensor.h>

#include "core/model/blocks/backend.h"

namespace mneme::model::blocks {

/// Cross-entropy of each row in nats, computed in fp32. \param logits [M, V]; \param labels int64 [M]; \return fp32
/// [M].
at::Tensor label_loss(const at::Tensor& logits, const at::Tensor& labels, const BlockContext& context);

}  // namespace mneme::model::blocks
