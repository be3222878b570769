#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/model/blocks/backend.h"

namespace mneme::model::blocks {

/// \param logits [R, V], of any floating type
/// \return [R] the index of each row's largest element, the first of equals
std::vector<std::int32_t> likeliest_of_rows(const at::Tensor& logits, const BlockContext& context);

}  // namespace mneme::model::blocks
