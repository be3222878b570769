#include "core/adapter/parameter_view.h"

#include <ATen/ATen.h>

#include <functional>
#include <numeric>

namespace mneme {

std::int64_t ParameterView::size() const {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

at::Tensor ParameterView::of(const at::Tensor& flat) const { return flat.narrow(0, offset, size()).view(shape); }

}  // namespace mneme
