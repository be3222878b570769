#pragma once

#include <cstddef>
#include <cstdint>

namespace mneme {

/// Size from which a block goes back to the system when it is freed, in a program that called return_large_blocks().
inline constexpr std::size_t kLargeBlock = std::size_t{4} << 20;

/// Lets freed blocks of kLargeBlock and more go back to the system. The C library would raise its limit to the largest
/// block that was ever freed and keep activations of all sizes in one heap, with ever larger holes: measured, a step on
/// T5-base holds 12 % less this way and takes as long.
void return_large_blocks();

/// Bytes that this process could still take without swapping: what the kernel calls available, or what is left of the
/// memory cgroup's limit where that is less (cgroup 2); 0 if unknown.
std::int64_t free_memory();

}  // namespace mneme
