#pragma once

#include <cstdint>
#include <span>

#include "core/model/adapters.h"

namespace mneme::model {

/// Adapters whose gates and soft prompts are those of the given jobs, in this order; without gradients.
ActiveAdapters adapters_for_jobs(const ActiveAdapters& adapters, std::span<const std::int64_t> jobs);

/// The adapters on a model's device; differentiable.
ActiveAdapters adapters_on(const ActiveAdapters& adapters, c10::Device device);

}  // namespace mneme::model
