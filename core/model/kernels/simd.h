#pragma once
// Vectors of the instruction set that the including file is compiled for. Everything here is internal to that file
// (anonymous namespace, no standard templates), so that code for one instruction set never serves another.
#include <cstdint>

#include "core/model/kernels/kernels.h"

namespace mneme::model::kernels {
namespace {

#if defined(__AVX512F__)
constexpr std::int64_t kLanes = 16;
#define MNEME_VECTOR_BYTES 64
#elif defined(__AVX2__)
constexpr std::int64_t kLanes = 8;
#define MNEME_VECTOR_BYTES 32
#else
constexpr std::int64_t kLanes = 4;
#define MNEME_VECTOR_BYTES 16
#endif

using Float = float __attribute__((vector_size(MNEME_VECTOR_BYTES)));
using FloatAnywhere = float __attribute__((vector_size(MNEME_VECTOR_BYTES), aligned(4), may_alias));
using Int = std::int32_t __attribute__((vector_size(MNEME_VECTOR_BYTES)));
using Bits = std::uint32_t __attribute__((vector_size(MNEME_VECTOR_BYTES)));
using Halves = std::uint16_t __attribute__((vector_size(MNEME_VECTOR_BYTES / 2)));
using HalvesAnywhere = std::uint16_t __attribute__((vector_size(MNEME_VECTOR_BYTES / 2), aligned(2), may_alias));

/// A bfloat16 in memory.
struct Bf16 {
  std::uint16_t bits;
};

inline float to_float(float x) { return x; }
inline float to_float(Bf16 x) { return __builtin_bit_cast(float, static_cast<std::uint32_t>(x.bits) << 16); }

inline void put(float* p, float x) { *p = x; }
/// Rounds to the nearest, ties to even; a NaN stays one.
inline void put(Bf16* p, float x) {
  const auto bits = __builtin_bit_cast(std::uint32_t, x);
  const std::uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  p->bits = static_cast<std::uint16_t>(x == x ? rounded : 0x7fc0u);
}

inline Float spread(float x) { return Float{} + x; }

inline Float load(const float* p) { return *reinterpret_cast<const FloatAnywhere*>(p); }
inline Float load(const Bf16* p) {
  const Halves halves = *reinterpret_cast<const HalvesAnywhere*>(p);
  return __builtin_bit_cast(Float, __builtin_convertvector(halves, Bits) << 16);
}
inline void store(float* p, Float x) { *reinterpret_cast<FloatAnywhere*>(p) = x; }
inline void store(Bf16* p, Float x) {
  const Bits bits = __builtin_bit_cast(Bits, x);
  const Bits rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const Bits nan = Bits{} + 0x7fc0u;
  *reinterpret_cast<HalvesAnywhere*>(p) = __builtin_convertvector(x == x ? rounded : nan, Halves);
}

/// The first `count` elements, the rest `fill`.
template <class T>
inline Float load(const T* p, std::int64_t count, float fill = 0) {
  if (count >= kLanes) return load(p);
  Float x = spread(fill);
  for (std::int64_t i = 0; i < count; ++i) x[i] = to_float(p[i]);
  return x;
}
template <class T>
inline void store(T* p, Float x, std::int64_t count) {
  if (count >= kLanes) return store(p, x);
  for (std::int64_t i = 0; i < count; ++i) put(p + i, x[i]);
}

inline float sum(Float x) {
  float total = 0;
  for (std::int64_t i = 0; i < kLanes; ++i) total += x[i];
  return total;
}
/// Lane i is the sum of x[i].
inline Float sums(Float (&x)[kLanes]) {
  Int even, odd;
  for (std::int32_t i = 0; i < kLanes; ++i) {
    even[i] = 2 * i;
    odd[i] = 2 * i + 1;
  }
#pragma GCC unroll 4
  for (std::int64_t count = kLanes / 2; count > 0; count /= 2)
#pragma GCC unroll 8
    for (std::int64_t i = 0; i < count; ++i)
      x[i] = __builtin_shuffle(x[2 * i], x[2 * i + 1], even) + __builtin_shuffle(x[2 * i], x[2 * i + 1], odd);
  return x[0];
}
/// Lane j of x[i] and lane i of x[j] change places. Each round interleaves the halves, which rotates the bits of a
/// lane's address by one.
inline void transpose(Float (&x)[kLanes]) {
  Int low, high;
  for (std::int32_t i = 0; i < kLanes; ++i) {
    low[i] = i / 2 + (i % 2 == 0 ? 0 : static_cast<std::int32_t>(kLanes));
    high[i] = low[i] + static_cast<std::int32_t>(kLanes / 2);
  }
#pragma GCC unroll 4
  for (std::int64_t round = 1; round < kLanes; round *= 2) {
    Float y[kLanes];
#pragma GCC unroll 8
    for (std::int64_t i = 0; i < kLanes / 2; ++i) {
      y[2 * i] = __builtin_shuffle(x[i], x[i + kLanes / 2], low);
      y[2 * i + 1] = __builtin_shuffle(x[i], x[i + kLanes / 2], high);
    }
#pragma GCC unroll 16
    for (std::int64_t i = 0; i < kLanes; ++i) x[i] = y[i];
  }
}
inline Float larger(Float a, Float b) { return a > b ? a : b; }
inline float largest(Float x) {
  float most = x[0];
  for (std::int64_t i = 1; i < kLanes; ++i) most = x[i] > most ? x[i] : most;
  return most;
}

/// e^x to about 1 ulp for x in [-87, 88]; beyond, the value at the bound. Range reduction by ln 2 in two parts and a
/// polynomial of degree 5 (coefficients of Cephes' expf).
inline Float exponential(Float x) {
  const Float low = spread(-87.f), high = spread(88.f);
  x = x < low ? low : x;
  x = x > high ? high : x;
  constexpr float kRound = 12582912.f;  // 1.5 · 2^23: adding it rounds to an integer
  const Float shifted = x * 1.44269504088896341f + kRound;
  const Float n = shifted - kRound;
  const Float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Float p = spread(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.f;
  const Int exponent = __builtin_bit_cast(Int, shifted) << 23;  // the integer's low bits are n
  return __builtin_bit_cast(Float, __builtin_bit_cast(Int, p) + exponent);
}

constexpr std::int64_t round_up(std::int64_t n, std::int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}
constexpr std::int64_t least(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
constexpr std::int64_t most(std::int64_t a, std::int64_t b) { return a > b ? a : b; }

/// Calls f(j, count) for the vectors that cover n elements; count < kLanes only at the end.
template <class F>
inline void for_vectors(std::int64_t n, F f) {
  std::int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes) f(j, kLanes);
  if (j < n) f(j, n - j);
}

/// Calls f with a null pointer of the storage's element type.
template <class F>
inline void with_type(Storage type, F f) {
  if (type == Storage::kFloat)
    f(static_cast<float*>(nullptr));
  else
    f(static_cast<Bf16*>(nullptr));
}

}  // namespace
}  // namespace mneme::model::kernels
