#pragma once

#include <cstdint>

#include "core/model/kernels/kernels.h"

// Matrix products on the matrix unit that some CPUs have (Intel AMX), which multiplies bf16 numbers and sums in fp32.
// As for the other kernels, every element of a product is computed in one order that depends on k alone.

namespace mneme::model::kernels {

/// C[m, n] = A[m, k] · B[k, n], where A is bf16 or fp32 as B was when it was packed. A number of fp32 is taken as the
/// sum of two of bf16, whose smallest products are left out: 16 bits of each factor count instead of 24.
struct UnitGemm {
  Storage type = Storage::kBFloat16;  ///< of A
  std::int64_t m = 0, n = 0, k = 0;
  const void* a = nullptr;
  std::int64_t a_row = 0;   ///< row stride of A
  const void* b = nullptr;  ///< of pack()
  float* c = nullptr;
  std::int64_t ldc = 0;
  void* scratch = nullptr;  ///< of MatrixUnit::scratch_size() bytes
};

/// Brings B [k, n] into the order that gemm() reads. One of the strides is 1.
struct UnitPack {
  Storage type = Storage::kBFloat16;
  std::int64_t k = 0, n = 0;
  const void* b = nullptr;
  std::int64_t b_row = 0, b_col = 1;  ///< strides of B
  void* out = nullptr;                ///< of MatrixUnit::packed_size() bytes, aligned to 64
};

struct MatrixUnit {
  std::int64_t panel;  ///< columns of packed B that lie together, in packed_size(type, k, panel) bytes
  std::int64_t (*packed_size)(Storage type, std::int64_t k, std::int64_t n);
  std::int64_t (*scratch_size)(Storage type, std::int64_t m, std::int64_t k);
  void (*pack)(const UnitPack& args);
  void (*gemm)(const UnitGemm& args);
};

/// nullptr where this CPU has none or MNEME_CPU asks for lesser kernels.
const MatrixUnit* matrix_unit();

}  // namespace mneme::model::kernels
