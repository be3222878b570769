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

/// Columns of A taken at once at most: a panel of B of this depth and the one behind it stay in the second-level cache.
constexpr std::int64_t kDepth = 768;
/// Rows of A taken at once: they stay in the second-level cache while all panels pass.
constexpr std::int64_t kChunk = 240;

/// Elements of a cache line.
template <class T>
constexpr std::int64_t kLine = 64 / sizeof(T);

/// A from its first element on.
struct Left {
  const float* p;
  std::int64_t row, col;
};

/// B from its first element on, row-major.
template <class T = float>
struct Right {
  const T* p;
  std::int64_t row;
  /// Cache lines that are needed afterwards: fetched meanwhile, since a product of few rows waits for memory alone.
  const T* next = nullptr;
  std::int64_t next_lines = 0;
};

/// C from its first element on, row-major.
struct Target {
  float* p;
  std::int64_t row;
  bool accumulate = false;
};

/// Rows and columns of C, and the depth of the product.
struct Extent {
  std::int64_t rows, columns, depth;
};

/// C[R, V vectors] (+)= A[R, k] · B[k, V vectors] in registers.
template <int R, int V, class T>
inline void tile(std::int64_t k, Left a, Right<T> b, Target c) {
  Float sums[R][V];
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) sums[i][j] = c.accumulate ? load(c.p + i * c.row + j * kLanes) : Float{};
  }
  // The lines to fetch are spread over the steps: more at once than the core can have under way would hold up its own.
  const std::int64_t fetches = least(b.next_lines, k);
  const std::int64_t together = fetches == 0 ? 0 : round_up(b.next_lines, fetches) / fetches;
  const std::int64_t distance = fetches == 0 ? k : k / fetches;
  for (std::int64_t p = 0, fetch = 0; p < k; ++fetch) {
    if (fetch < fetches)
      for (std::int64_t line = 0; line < together; ++line, b.next += kLine<T>) __builtin_prefetch(b.next, 0, 2);
    for (const std::int64_t end = fetch + 1 < fetches ? p + distance : k; p < end; ++p) {
      Float right[V];
#pragma GCC unroll 4
      for (int j = 0; j < V; ++j) right[j] = load(b.p + j * kLanes);
#pragma GCC unroll 16
      for (int i = 0; i < R; ++i) {
        const float left = a.p[i * a.row];
#pragma GCC unroll 4
        for (int j = 0; j < V; ++j) sums[i][j] += left * right[j];
      }
      a.p += a.col;
      b.p += b.row;
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) store(c.p + i * c.row + j * kLanes, sums[i][j]);
  }
}

/// tile() with a number of rows known at run time, 1 to R.
template <int R, int V, class T>
inline void tile_rows(std::int64_t rows, std::int64_t k, Left a, Right<T> b, Target c) {
  if constexpr (R > 1) {
    if (rows < R) return tile_rows<R - 1, V>(rows, k, a, b, c);
  }
  tile<R, V>(k, a, b, c);
}

/// All rows against V vectors of columns, in tiles of nearly equal height.
template <int V, class T>
__attribute__((noinline)) void strip(std::int64_t m, std::int64_t k, Left a, Right<T> b, Target c) {
  constexpr int kRows = kTileRows[V];
  const std::int64_t tiles = (m + kRows - 1) / kRows;
  for (std::int64_t t = 0; t < tiles; ++t) {
    const std::int64_t row = m * t / tiles, end = m * (t + 1) / tiles;
    const std::int64_t line = b.next_lines * t / tiles, last_line = b.next_lines * (t + 1) / tiles;
    tile_rows<kRows, V>(end - row, k, {a.p + row * a.row, a.row, a.col},
                        Right<T>{b.p, b.row, b.next + line * kLine<T>, last_line - line},
                        {c.p + row * c.row, c.row, c.accumulate});
  }
}

/// C (+)= A · B where the columns are whole vectors.
template <class T = float>
inline void block(Extent size, Left a, Right<T> b, Target c) {
  std::int64_t vectors = size.columns / kLanes;
  for (; vectors >= kPanelVectors; vectors -= kPanelVectors, b.p += kPanel, c.p += kPanel)
    strip<kPanelVectors>(size.rows, size.depth, a, b, c);
#if defined(__AVX512F__)
  if (vectors == 3) return strip<3>(size.rows, size.depth, a, b, c);
  if (vectors == 2) return strip<2>(size.rows, size.depth, a, b, c);
#endif
  if (vectors == 1) strip<1>(size.rows, size.depth, a, b, c);
}

/// The last columns, fewer than a vector: through a buffer beside C.
void edge(Extent size, Left a, Right<> b, Target c) {
  constexpr std::int64_t kRows = kTileRows[1];
  float right[kDepth * kLanes];
  for (std::int64_t p = 0; p < size.depth; ++p) store(right + p * kLanes, load(b.p + p * b.row, size.columns));
  for (std::int64_t row = 0; row < size.rows; row += kRows) {
    const std::int64_t rows = least(kRows, size.rows - row);
    float sums[kRows * kLanes];
    if (c.accumulate)
      for (std::int64_t i = 0; i < rows; ++i) store(sums + i * kLanes, load(c.p + (row + i) * c.row, size.columns));
    strip<1>(rows, size.depth, {a.p + row * a.row, a.row, a.col}, Right<>{right, kLanes}, {sums, kLanes, c.accumulate});
    for (std::int64_t i = 0; i < rows; ++i) store(c.p + (row + i) * c.row, load(sums + i * kLanes), size.columns);
  }
}

/// C (+)= A · B.
inline void product(Extent size, Left a, Right<> b, Target c) {
  const std::int64_t whole = size.columns / kLanes * kLanes;
  block({size.rows, whole, size.depth}, a, b, c);
  if (whole < size.columns)
    edge({size.rows, size.columns - whole, size.depth}, a, {b.p + whole, b.row}, {c.p + whole, c.row, c.accumulate});
}

std::int64_t packed_size(std::int64_t k, std::int64_t n) { return k * round_up(n, kLanes); }

/// Some rows of a panel. They are few enough for the first-level cache, whichever way B lies.
void pack_rows(const float* b, const Pack& g, Extent size, std::int64_t width, float* out) {
  for (std::int64_t j = 0; j < size.columns; ++j)
    for (std::int64_t i = 0; i < size.rows; ++i) out[i * width + j] = g.scale * b[j * g.b_col + i * g.b_row];
  for (std::int64_t i = 0; i < size.rows; ++i)
    for (std::int64_t j = size.columns; j < width; ++j) out[i * width + j] = 0;
}

/// Panels of kPanel columns one after the other, each row-major; the last one is as narrow as whole vectors allow.
void pack(const Pack& g) {
  constexpr std::int64_t kRows = 16;
  float* out = g.out;
  for (std::int64_t first = 0; first < g.n; first += kPanel) {
    const std::int64_t columns = least(kPanel, g.n - first), width = round_up(columns, kLanes);
    for (std::int64_t i = 0; i < g.k; i += kRows) {
      const std::int64_t rows = least(kRows, g.k - i);
      pack_rows(g.b + first * g.b_col + i * g.b_row, g, {rows, columns, 1}, width, out);
      out += rows * width;
    }
  }
}

/// A part of the rows or of the depth of a product.
struct Range {
  std::int64_t first, count;
};

/// One chunk of rows and one range of depth against all columns. \param a the chunk's part of A
void gemm_part(const Gemm& g, Left a, Range rows, Range depth) {
  Target c{g.c + rows.first * g.ldc, g.ldc, g.accumulate || depth.first > 0};
  if (g.ldb != 0) return product({rows.count, g.n, depth.count}, a, {g.b + depth.first * g.ldb, g.ldb}, c);
  for (std::int64_t first = 0; first < g.n; first += kPanel, c.p += kPanel) {
    const std::int64_t columns = least(kPanel, g.n - first), width = round_up(columns, kLanes);
    const float* b = g.b + first * g.k + depth.first * width;
    const bool more = first + kPanel < g.n;
    const Right<> panel{b, width, b + g.k * width, more ? depth.count * width / kLine<float> : 0};
    product({rows.count, g.pad_columns ? width : columns, depth.count}, a, panel, c);
  }
}

/// Depth of one step of a product with a transposed A, and the row stride of its dense copy: no two of its rows share
/// a set of the first-level cache.
constexpr std::int64_t kTransposedDepth = 96;
constexpr std::int64_t kTransposedStride = kChunk + 16;

/// gemm_part() for A stored by columns: from a dense copy, since its own rows lie a page apart.
void gemm_part_transposed(const Gemm& g, Range rows, Range depth) {
  float copy[kTransposedDepth * kTransposedStride];
  for (std::int64_t p = 0; p < depth.count; ++p) {
    const float* from = g.a + rows.first + (depth.first + p) * g.a_col;
    for_vectors(rows.count,
                [&](std::int64_t i, std::int64_t n) { store(copy + p * kTransposedStride + i, load(from + i, n), n); });
  }
  gemm_part(g, {copy, 1, kTransposedStride}, rows, depth);
}

void gemm(const Gemm& g) {
  const bool transposed = g.a_row == 1 && g.a_col > 1 && g.m > 2 * kTileRows[1];
  const std::int64_t most_depth = transposed ? kTransposedDepth : kDepth;
  const std::int64_t steps = most(round_up(g.k, most_depth) / most_depth, 1), step = round_up(g.k, steps) / steps;
  for (std::int64_t row = 0; row < g.m; row += kChunk) {
    const Range rows{row, least(kChunk, g.m - row)};
    std::int64_t done = 0;
    do {
      const Range depth{done, least(step, g.k - done)};
      if (transposed)
        gemm_part_transposed(g, rows, depth);
      else
        gemm_part(g, {g.a + row * g.a_row + done * g.a_col, g.a_row, g.a_col}, rows, depth);
      done += depth.count;
    } while (done < g.k);
  }
}

}  // namespace
}  // namespace mneme::model::kernels
