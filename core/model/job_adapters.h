#pragma once

#include <cstdint>
#include <span>

#include "core/model/adapters.h"

namespace mneme::model {

/// Adapters whose gates and soft prompts are those of the given jobs, in this order; without gradients.
ActiveAdapters adapters_for_jobs(const ActiveAdapters& adapters, std::span<const std::int64_t> jobs);

}  // namespace mneme::model
