#pragma once

#include <c10/core/Allocator.h>

#include <cstddef>

namespace mneme::model {

/// Bytes from which a tensor on the CPU has a block of its own under tensor_memory().
inline constexpr std::size_t kLargeTensor = std::size_t{1} << 20;
/// Bytes that blocks in use and freed ones may take together beyond the most that was ever in use.
inline constexpr std::size_t kSpareTensors = std::size_t{64} << 20;

/// Memory of CPU tensors. Large ones get blocks from the system, in huge pages where it has them. Freed blocks serve
/// the next tensors of about their size; the oldest go back to the system when more is held than was ever in use, but
/// for kSpareTensors. A step of training makes and frees the same tensors over and over, each time of slightly other
/// sizes: from the C library they come as fresh small pages, which the kernel clears and maps one by one (a fifth of a
/// step's time), or they leave ever larger holes in its heap (an eighth of its memory). Small tensors stay LibTorch's
/// own. Thread-safe; all calls return the same object.
c10::Allocator& tensor_memory();

/// Bytes of freed blocks that wait for use now.
std::size_t waiting_tensor_memory();

/// Lets all CPU tensors from now on come from tensor_memory().
void use_tensor_memory();

}  // namespace mneme::model
