#include "core/model/blocks/likeliest.h"

#include <ATen/ATen.h>

#include "core/model/blocks/fused.h"

namespace mneme::model::blocks {

std::vector<std::int32_t> likeliest_of_rows(const at::Tensor& logits, const BlockContext& context) {
  std::vector<std::int32_t> result(static_cast<std::size_t>(logits.size(0)));
  if (!takes_fused(context, logits)) {
    const at::Tensor places = at::argmax(logits, 1).to(at::kCPU, at::kInt).contiguous();
    std::copy_n(places.const_data_ptr<std::int32_t>(), result.size(), result.begin());
    return result;
  }
  const at::Tensor x = logits.contiguous();
  for_rows(x.size(0), static_cast<double>(x.size(1)), [&](std::int64_t first, std::int64_t last) {
    kernels::table().largest_of_row({.type = storage_of(x),
                                     .rows = last - first,
                                     .columns = x.size(1),
                                     .x = x.select(0, first).const_data_ptr(),
                                     .places = result.data() + first});
  });
  return result;
}

}  // namespace mneme::model::blocks
