#include "core/adapter/forward_spec.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/base/error.h"

namespace mneme {

ForwardSpec with_mixture(const std::vector<AdapterId>& adapters, const at::Tensor& weights) {
  MNEME_CHECK(weights.dim() == 2 && weights.size(1) == static_cast<std::int64_t>(adapters.size()),
              "{} adapters are mixed by weights of {} columns; expected [sequences, {}]", adapters.size(),
              weights.size(-1), adapters.size());
  ForwardSpec spec;
  for (std::size_t k = 0; k < adapters.size(); ++k)
    spec.adapters.push_back({adapters[k], 1.0, weights.select(1, static_cast<std::int64_t>(k)).contiguous()});
  return spec;
}

ForwardSpec with_adapter_each(const std::vector<AdapterId>& sequences) {
  std::vector<AdapterId> adapters(sequences);
  std::sort(adapters.begin(), adapters.end());
  adapters.erase(std::unique(adapters.begin(), adapters.end()), adapters.end());
  if (adapters.size() == 1) return adapters.front() == 0 ? ForwardSpec{} : with_adapters(adapters);
  std::erase(adapters, 0);
  at::Tensor weights =
      at::zeros({static_cast<std::int64_t>(sequences.size()), static_cast<std::int64_t>(adapters.size())}, at::kFloat);
  for (std::size_t b = 0; b < sequences.size(); ++b) {
    const auto at = std::find(adapters.begin(), adapters.end(), sequences[b]);
    if (at != adapters.end()) weights[static_cast<std::int64_t>(b)][at - adapters.begin()] = 1;
  }
  return with_mixture(adapters, weights);
}

}  // namespace mneme
