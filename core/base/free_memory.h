#pragma once

#include <cstdint>

namespace mneme {

/// Bytes that this process could still take without swapping: what the kernel calls available, or what is left of the
/// memory cgroup's limit where that is less (cgroup 2); 0 if unknown.
std::int64_t free_memory();

}  // namespace mneme
