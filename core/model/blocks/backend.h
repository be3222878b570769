#pragma once

namespace mneme {
class RandomStream;
}

namespace mneme::model {

/// Insides of the blocks. The reference is plain ATen on any device and dtype; the fused one has own CPU kernels for
/// fp32 and bf16 with hand-written backward passes, and falls back to the reference elsewhere.
enum class BlockBackend { kReference, kFused };

/// Of products of fp32 with frozen weights, named as in torch.set_float32_matmul_precision(). kHigh lets each number be
/// the sum of two of bf16, 16 bits of 24, where the CPU has a matrix unit for these (Intel AMX), and is kHighest
/// elsewhere.
enum class MatmulPrecision { kHighest, kHigh };

namespace blocks {

/// What every block of one pass is told.
struct BlockContext {
  BlockBackend backend = BlockBackend::kFused;
  RandomStream* dropout = nullptr;  ///< training mode; nullptr: no dropout
};

}  // namespace blocks
}  // namespace mneme::model
