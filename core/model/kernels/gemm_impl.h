#pragma once
// Matrix product of the instruction set that the including file is compiled for.
#include "core/model/kernels/simd.h"

namespace mneme::model::kernels {
namespace {

/// Vectors side by side in a panel of packed columns, and rows of C that one tile keeps in registers with 1, 2, 3 or 4
/// vectors side by side: chosen so that accumulators, one row of B and one broadcast fill the register file.
#if defined(__AVX512F__)
constexpr int kPanelVectors = 4;
constexpr int kTileRows[5] = {0, 12, 12, 8, 6};
#else
constexpr int kPanelVectors = 2;
constexpr int kTileRows[5] = {0, 6, 6, 0, 0};
#endif
constexpr std::int64_t kPanel = kPanelVectors * kLanes;

/// Columns of A taken at once: a panel of B of this depth stays in the first-level cache.
constexpr std::int64_t kDepth = 384;
/// Rows of A taken at once: they stay in the second-level cache while all panels pass.
constexpr std::int64_t kChunk = 240;

struct Left {
  const float* p;
  std::int64_t row, col;
};

/// C[R, V vectors] (+)= A[R, k] · B[k, V vectors] in registers.
template <int R, int V>
inline void tile(Left a, const float* b, std::int64_t ldb, std::int64_t k, float* c, std::int64_t ldc,
                 bool accumulate) {
  Float sums[R][V];
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) sums[i][j] = accumulate ? load(c + i * ldc + j * kLanes) : Float{};
  }
  for (std::int64_t p = 0; p < k; ++p) {
    Float right[V];
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) right[j] = load(b + j * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      const float left = a.p[i * a.row];
#pragma GCC unroll 4
      for (int j = 0; j < V; ++j) sums[i][j] += left * right[j];
    }
    a.p += a.col;
    b += ldb;
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) store(c + i * ldc + j * kLanes, sums[i][j]);
  }
}

/// tile() with a number of rows known at run time, 1 to R.
template <int R, int V>
inline void tile_rows(std::int64_t rows, Left a, const float* b, std::int64_t ldb, std::int64_t k, float* c,
                      std::int64_t ldc, bool accumulate) {
  if constexpr (R > 1) {
    if (rows < R) return tile_rows<R - 1, V>(rows, a, b, ldb, k, c, ldc, accumulate);
  }
  tile<R, V>(a, b, ldb, k, c, ldc, accumulate);
}

/// All rows against V vectors of columns, in tiles of nearly equal height.
template <int V>
__attribute__((noinline)) void strip(std::int64_t m, Left a, const float* b, std::int64_t ldb, std::int64_t k, float* c,
                                     std::int64_t ldc, bool accumulate) {
  constexpr int kRows = kTileRows[V];
  const std::int64_t tiles = (m + kRows - 1) / kRows;
  std::int64_t row = 0;
  for (std::int64_t t = 0; t < tiles; ++t) {
    const std::int64_t end = m * (t + 1) / tiles;
    tile_rows<kRows, V>(end - row, {a.p + row * a.row, a.row, a.col}, b, ldb, k, c + row * ldc, ldc, accumulate);
    row = end;
  }
}

/// C[m, vectors · kLanes] (+)= A · B with row-major B and whole vectors.
inline void block(std::int64_t m, std::int64_t vectors, std::int64_t k, Left a, const float* b, std::int64_t ldb,
                  float* c, std::int64_t ldc, bool accumulate) {
  for (; vectors >= kPanelVectors; vectors -= kPanelVectors, b += kPanel, c += kPanel)
    strip<kPanelVectors>(m, a, b, ldb, k, c, ldc, accumulate);
#if defined(__AVX512F__)
  if (vectors == 3) return strip<3>(m, a, b, ldb, k, c, ldc, accumulate);
  if (vectors == 2) return strip<2>(m, a, b, ldb, k, c, ldc, accumulate);
#endif
  if (vectors == 1) strip<1>(m, a, b, ldb, k, c, ldc, accumulate);
}

/// The last columns, fewer than a vector: through a buffer beside C.
void edge(std::int64_t m, std::int64_t columns, std::int64_t k, Left a, const float* b, std::int64_t ldb, float* c,
          std::int64_t ldc, bool accumulate) {
  constexpr std::int64_t kRows = kTileRows[1];
  float right[kDepth * kLanes];
  for (std::int64_t p = 0; p < k; ++p) store(right + p * kLanes, load(b + p * ldb, columns));
  for (std::int64_t row = 0; row < m; row += kRows) {
    const std::int64_t rows = least(kRows, m - row);
    float sums[kRows * kLanes];
    if (accumulate)
      for (std::int64_t i = 0; i < rows; ++i) store(sums + i * kLanes, load(c + (row + i) * ldc, columns));
    strip<1>(rows, {a.p + row * a.row, a.row, a.col}, right, kLanes, k, sums, kLanes, accumulate);
    for (std::int64_t i = 0; i < rows; ++i) store(c + (row + i) * ldc, load(sums + i * kLanes), columns);
  }
}

std::int64_t packed_size(std::int64_t k, std::int64_t n) { return k * round_up(n, kLanes); }

/// Panels of kPanel columns one after the other, each row-major; the last one is as narrow as whole vectors allow.
void pack(const float* b, std::int64_t k, std::int64_t n, std::int64_t row, std::int64_t col, float scale, float* out) {
  for (std::int64_t first = 0; first < n; first += kPanel) {
    const std::int64_t columns = least(kPanel, n - first), width = round_up(columns, kLanes);
    for (std::int64_t j = 0; j < width; ++j) {
      const float* from = b + (first + j) * col;
      for (std::int64_t i = 0; i < k; ++i) out[i * width + j] = j < columns ? scale * from[i * row] : 0.f;
    }
    out += k * width;
  }
}

/// One chunk of rows and one range of depth against all columns. \param a the chunk's part of A
void gemm_part(const Gemm& g, Left a, std::int64_t row, std::int64_t rows, std::int64_t depth, std::int64_t count) {
  const bool accumulate = g.accumulate || depth > 0;
  float* c = g.c + row * g.ldc;
  if (g.ldb != 0) {
    const float* b = g.b + depth * g.ldb;
    const std::int64_t whole = g.n / kLanes, rest = g.n % kLanes;
    block(rows, whole, count, a, b, g.ldb, c, g.ldc, accumulate);
    if (rest != 0) edge(rows, rest, count, a, b + whole * kLanes, g.ldb, c + whole * kLanes, g.ldc, accumulate);
    return;
  }
  for (std::int64_t first = 0; first < g.n; first += kPanel) {
    const std::int64_t columns = least(kPanel, g.n - first), width = round_up(columns, kLanes);
    const float* b = g.b + first * g.k + depth * width;
    const std::int64_t whole = (g.pad_columns ? width : columns) / kLanes;
    block(rows, whole, count, a, b, width, c + first, g.ldc, accumulate);
    if (whole * kLanes < columns)
      edge(rows, columns - whole * kLanes, count, a, b + whole * kLanes, width, c + first + whole * kLanes, g.ldc,
           accumulate);
  }
}

/// Depth of one step of a product with a transposed A, and the row stride of its dense copy: no two of its rows share
/// a set of the first-level cache.
constexpr std::int64_t kTransposedDepth = 96;
constexpr std::int64_t kTransposedStride = kChunk + 16;

/// gemm_part() for A stored by columns: from a dense copy, since its own rows lie a page apart.
void gemm_part_transposed(const Gemm& g, std::int64_t row, std::int64_t rows, std::int64_t depth, std::int64_t count) {
  float copy[kTransposedDepth * kTransposedStride];
  for (std::int64_t p = 0; p < count; ++p) {
    const float* from = g.a + row + (depth + p) * g.a_col;
    for_vectors(rows,
                [&](std::int64_t i, std::int64_t n) { store(copy + p * kTransposedStride + i, load(from + i, n), n); });
  }
  gemm_part(g, {copy, 1, kTransposedStride}, row, rows, depth, count);
}

void gemm(const Gemm& g) {
  const bool transposed = g.a_row == 1 && g.a_col > 1 && g.m > 2 * kTileRows[1];
  const std::int64_t step = transposed ? kTransposedDepth : kDepth;
  for (std::int64_t row = 0; row < g.m; row += kChunk) {
    const std::int64_t rows = least(kChunk, g.m - row);
    std::int64_t depth = 0;
    do {
      const std::int64_t count = least(step, g.k - depth);
      if (transposed)
        gemm_part_transposed(g, row, rows, depth, count);
      else
        gemm_part(g, {g.a + row * g.a_row + depth * g.a_col, g.a_row, g.a_col}, row, rows, depth, count);
      depth += count;
    } while (depth < g.k);
  }
}

}  // namespace
}  // namespace mneme::model::kernels
