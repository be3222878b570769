#pragma once

#include <c10/core/Device.h>

namespace mneme::test {

/// A device beside the CPU, for machines without a GPU: its tensors lie in ordinary memory, its operations are the
/// CPU's, but it refuses what a GPU refuses, operations on tensors of two devices. Counts nothing and knows no streams.
c10::Device other_device();

}  // namespace mneme::test
