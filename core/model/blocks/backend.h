#pragma once

namespace mneme {
class RandomStream;
}

namespace mneme::model {

/// Insides of the blocks. The reference is plain ATen on any device and dtype; the fused one has own CPU kernels for
/// fp32 and bf16 with hand-written backward passes, and falls back to the reference elsewhere.
enum class BlockBackend { kReference, kFused };

namespace blocks {

/// What every block of one pass is told.
struct BlockContext {
  BlockBackend backend = BlockBackend::kFused;
  RandomStream* dropout = nullptr;  ///< training mode; nullptr: no dropout
};

}  // namespace blocks
}  // namespace mneme::model
