#include "core/model/blocks/label_loss.h"

#include <ATen/ATen.h>

namespace mneme::model::blocks {

at::Tensor label_loss(const at::Tensor& logits, const at::Tensor& labels, const BlockContext&) {
  const at::ScalarType wide = logits.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return at::cross_entropy_loss(logits.to(wide), labels, {}, at::Reduction::None);
}

}  // namespace mneme::model::blocks
