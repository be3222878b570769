#include "core/model/derived_adapters.h"

#include <ATen/ATen.h>

#include "core/model/device.h"

namespace mneme::model {
namespace {

/// Calls f with every gate and the soft prompts, as far as there are any.
template <class F>
void for_each_per_sequence(ActiveAdapters& adapters, const F& f) {
  const auto call = [&](at::Tensor& tensor) {
    if (tensor.defined()) f(tensor);
  };
  for (auto& group : adapters.groups)
    for (LowRankDelta& delta : group) call(delta.gate);
  for (WeightDelta& delta : adapters.weights) call(delta.gate);
  call(adapters.prefix);
}

}  // namespace

ActiveAdapters adapters_for_jobs(const ActiveAdapters& adapters, std::span<const std::int64_t> jobs) {
  ActiveAdapters chosen = adapters;
  at::Tensor index;
  for_each_per_sequence(chosen, [&](at::Tensor& per_job) {
    if (!index.defined()) index = index_on(jobs, per_job.device());
    per_job = per_job.detach().index_select(0, index);
  });
  return chosen;
}

ActiveAdapters adapters_on(const ActiveAdapters& adapters, c10::Device device) {
  ActiveAdapters placed = adapters;
  for (auto& group : placed.groups)
    for (LowRankDelta& delta : group) delta.slice = on_device(delta.slice, device);
  for (WeightDelta& delta : placed.weights) delta.delta = on_device(delta.delta, device);
  for_each_per_sequence(placed, [&](at::Tensor& tensor) { tensor = on_device(tensor, device); });
  return placed;
}

}  // namespace mneme::model
