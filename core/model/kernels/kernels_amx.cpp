#if defined(__x86_64__)
#include <immintrin.h>

#include "core/model/kernels/matrix_unit.h"

namespace mneme::model::kernels {
namespace {

using Half = std::uint16_t;

/// A tile of A is 16 rows of 32 elements, one of B 16 pairs of rows of 16 columns, one of C 16 rows of 16 columns.
constexpr std::int64_t kTile = 16, kDepth = 32, kPanel = 2 * kTile, kTileElements = kTile * kDepth;
/// Rows of A taken at once: they stay in the second-level cache while all panels pass.
constexpr std::int64_t kChunk = 96;
/// How far ahead of the tiles B is fetched where rows are few, in bytes.
constexpr std::int64_t kAhead = 2048;

struct alignas(64) TileConfig {
  std::uint8_t palette = 1, start = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};
};

/// The tiles are at hand while this lives.
class Tiles {
 public:
  Tiles() {
    TileConfig config;
    for (int i = 0; i < 8; ++i) {
      config.row_bytes[i] = 64;
      config.rows[i] = kTile;
    }
    _tile_loadconfig(&config);
  }
  ~Tiles() { _tile_release(); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
};

constexpr std::int64_t up(std::int64_t x, std::int64_t step) { return (x + step - 1) / step * step; }
constexpr std::int64_t smaller(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

/// How many bf16 numbers stand for one element.
constexpr int planes(Storage type) { return type == Storage::kFloat ? 2 : 1; }

constexpr std::int64_t bytes_of(Storage type) { return type == Storage::kFloat ? 4 : 2; }
const char* element(const void* p, std::int64_t index, Storage type) {
  return static_cast<const char*>(p) + index * bytes_of(type);
}

/// Up to 32 elements of a row, the rest 0, as bf16: `out`, for fp32 also what the rounding left, `plane` behind it.
inline void load_row(const void* from, std::int64_t count, Storage type, Half* out, std::int64_t plane) {
  const auto mask = static_cast<__mmask32>(count >= kDepth ? ~0u : (1u << count) - 1);
  if (type == Storage::kBFloat16) {
    _mm512_store_si512(out, _mm512_maskz_loadu_epi16(mask, from));
    return;
  }
  const auto* p = static_cast<const float*>(from);
  const __m512 low = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), p);
  const __m512 high = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask >> 16), p + 16);
  const auto rounded = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
  const auto rest = [](__m512 x, __m256i half) {
    return _mm512_sub_ps(x, _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16)));
  };
  _mm512_store_si512(out, rounded);
  _mm512_store_si512(out + plane,
                     reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(rest(high, _mm512_extracti64x4_epi64(rounded, 1)),
                                                                   rest(low, _mm512_castsi512_si256(rounded)))));
}

/// Tiles of B where `block` holds 32 of its columns, each as a row of 32 elements.
inline void store_columns(const Half* block, Half* out) {
  const __m512i lanes = _mm512_mullo_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
                                           _mm512_set1_epi32(kDepth / 2));
  for (std::int64_t tile = 0; tile < 2; ++tile)
    for (std::int64_t pair = 0; pair < kTile; ++pair)
      _mm512_store_si512(out + tile * kTileElements + pair * kDepth,
                         _mm512_i32gather_epi32(lanes, block + tile * kTileElements + 2 * pair, 4));
}

/// The same where it holds 32 of its rows.
inline void store_rows(const Half* block, Half* out) {
  for (std::int64_t pair = 0; pair < kTile; ++pair)
    for (std::int64_t tile = 0; tile < 2; ++tile) {
      const auto half = [&](std::int64_t row) {
        return _mm512_cvtepu16_epi32(
            _mm256_load_si256(reinterpret_cast<const __m256i*>(block + row * kDepth + tile * kTile)));
      };
      _mm512_store_si512(out + tile * kTileElements + pair * kDepth,
                         _mm512_or_si512(half(2 * pair), _mm512_slli_epi32(half(2 * pair + 1), 16)));
    }
}

std::int64_t packed_size(Storage type, std::int64_t k, std::int64_t n) {
  return up(k, kDepth) * up(n, kPanel) * planes(type) * static_cast<std::int64_t>(sizeof(Half));
}

std::int64_t scratch_size(Storage type, std::int64_t m, std::int64_t k) {
  return 64 + up(smaller(m, kChunk), kTile) * up(k, kDepth) * planes(type) * static_cast<std::int64_t>(sizeof(Half));
}

/// Panels of 32 columns one after the other; in each, for 32 rows at a time, the two tiles of each plane.
void pack(const UnitPack& args) {
  const bool columns = args.b_row == 1;
  alignas(64) Half block[2 * 2 * kTileElements];
  auto* out = static_cast<Half*>(args.out);
  for (std::int64_t column = 0; column < args.n; column += kPanel)
    for (std::int64_t row = 0; row < args.k; row += kDepth) {
      const std::int64_t width = smaller(args.n - column, kPanel), height = smaller(args.k - row, kDepth);
      const std::int64_t lines = columns ? width : height, length = columns ? height : width;
      const std::int64_t step = columns ? args.b_col : args.b_row;
      for (std::int64_t line = 0; line < kDepth; ++line)
        load_row(element(args.b, row * args.b_row + column * args.b_col + line * step, args.type),
                 line < lines ? length : 0, args.type, block + line * kDepth, 2 * kTileElements);
      for (int plane = 0; plane < planes(args.type); ++plane, out += 2 * kTileElements)
        (columns ? store_columns : store_rows)(block + plane * 2 * kTileElements, out);
    }
}

/// Tiles of some rows of A: for 16 rows at a time, for 32 columns at a time, the tile of each plane.
void load_rows(const UnitGemm& args, std::int64_t first, std::int64_t rows, Half* out) {
  const std::int64_t deep = up(args.k, kDepth) / kDepth, step = planes(args.type) * kTileElements;
  for (std::int64_t row = 0; row < up(rows, kTile); ++row)
    for (std::int64_t d = 0; d < deep; ++d)
      load_row(element(args.a, (first + row) * args.a_row + d * kDepth, args.type),
               row < rows ? args.k - d * kDepth : 0, args.type,
               out + (row / kTile * deep + d) * step + row % kTile * kDepth, kTileElements);
}

/// C [16 or 32 rows, 32] of one or two rows of tiles of A and a panel of B, `deep` tiles each.
template <bool kTwo, int kPlanes>
inline void multiply(const Half* a, const Half* b, std::int64_t deep, float* c, std::int64_t ldc) {
  const std::int64_t lower = deep * kPlanes * kTileElements;
  _tile_zero(0);
  _tile_zero(1);
  if constexpr (kTwo) {
    _tile_zero(2);
    _tile_zero(3);
  }
  for (std::int64_t d = 0; d < deep; ++d, a += kPlanes * kTileElements, b += kPlanes * 2 * kTileElements) {
    // The parts of A and B change one at a time, so that few tiles are loaded.
    const auto products = [] {
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      if constexpr (kTwo) {
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
      }
    };
    const auto load_a = [&](int plane) {
      _tile_loadd(4, a + plane * kTileElements, 64);
      if constexpr (kTwo) _tile_loadd(5, a + lower + plane * kTileElements, 64);
    };
    const auto load_b = [&](int plane) {
      _tile_loadd(6, b + plane * 2 * kTileElements, 64);
      _tile_loadd(7, b + (plane * 2 + 1) * kTileElements, 64);
    };
    if constexpr (!kTwo)  // few rows wait for B to come from memory
      for (int line = 0; line < 32 * kPlanes; ++line)
        _mm_prefetch(reinterpret_cast<const char*>(b) + kAhead + 64 * line, _MM_HINT_T0);
    load_b(0);
    if constexpr (kPlanes == 2) {
      load_a(1);
      products();
    }
    load_a(0);
    products();
    if constexpr (kPlanes == 2) {
      load_b(1);
      products();
    }
  }
  const std::int64_t bytes = ldc * static_cast<std::int64_t>(sizeof(float));
  _tile_stored(0, c, bytes);
  _tile_stored(1, c + kTile, bytes);
  if constexpr (kTwo) {
    _tile_stored(2, c + kTile * ldc, bytes);
    _tile_stored(3, c + kTile * ldc + kTile, bytes);
  }
}

/// Up to 32 rows and 32 columns of C.
struct Target {
  float* c;
  std::int64_t row;  ///< stride
  std::int64_t rows, columns;
};

template <int kPlanes>
void multiply_into(Target to, const Half* a, const Half* b, std::int64_t deep) {
  const bool two = to.rows > kTile, whole = to.rows == (two ? 2 : 1) * kTile && to.columns == kPanel;
  alignas(64) float space[2 * kTile * kPanel];
  float* c = whole ? to.c : space;
  const std::int64_t row = whole ? to.row : kPanel;
  if (two)
    multiply<true, kPlanes>(a, b, deep, c, row);
  else
    multiply<false, kPlanes>(a, b, deep, c, row);
  for (std::int64_t i = 0; !whole && i < to.rows; ++i)
    for (std::int64_t j = 0; j < to.columns; ++j) to.c[i * to.row + j] = space[i * kPanel + j];
}

template <int kPlanes>
void gemm_planes(const UnitGemm& args, Half* tiles) {
  const std::int64_t deep = up(args.k, kDepth) / kDepth, step = deep * kPlanes * kTileElements;
  const auto* b = static_cast<const Half*>(args.b);
  const Tiles at_hand;
  for (std::int64_t first = 0; first < args.m; first += kChunk) {
    const std::int64_t rows = smaller(args.m - first, kChunk);
    load_rows(args, first, rows, tiles);
    for (std::int64_t column = 0; column < args.n; column += kPanel)
      for (std::int64_t row = 0; row < rows; row += 2 * kTile)
        multiply_into<kPlanes>({.c = args.c + (first + row) * args.ldc + column,
                                .row = args.ldc,
                                .rows = smaller(rows - row, 2 * kTile),
                                .columns = smaller(args.n - column, kPanel)},
                               tiles + row / kTile * step, b + column / kTile * step, deep);
  }
}

void gemm(const UnitGemm& args) {
  auto* tiles = reinterpret_cast<Half*>(up(reinterpret_cast<std::intptr_t>(args.scratch), 64));
  if (planes(args.type) == 1)
    gemm_planes<1>(args, tiles);
  else
    gemm_planes<2>(args, tiles);
}

}  // namespace

extern const MatrixUnit kAmxUnit;
const MatrixUnit kAmxUnit = {
    .panel = kPanel, .packed_size = packed_size, .scratch_size = scratch_size, .pack = pack, .gemm = gemm};

}  // namespace mneme::model::kernels
#endif
