#include "core/model/job_adapters.h"

#include <ATen/ATen.h>

namespace mneme::model {

ActiveAdapters adapters_for_jobs(const ActiveAdapters& adapters, std::span<const std::int64_t> jobs) {
  ActiveAdapters chosen = adapters;
  at::Tensor index;
  const auto choose = [&](at::Tensor& per_job) {
    if (!per_job.defined()) return;
    if (!index.defined()) index = at::tensor(at::IntArrayRef(jobs.data(), jobs.size()), at::kLong);
    per_job = per_job.detach().index_select(0, index);
  };
  for (auto& group : chosen.groups)
    for (LowRankDelta& delta : group) choose(delta.gate);
  for (WeightDelta& delta : chosen.weights) choose(delta.gate);
  choose(chosen.prefix);
  return chosen;
}

}  // namespace mneme::model
