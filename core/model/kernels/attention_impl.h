#pragma once
// Attention of packed sequences of the instruction set that the including file is compiled for.
#include "core/model/kernels/gemm_impl.h"

namespace mneme::model::kernels {
namespace {

/// Queries of one head that are worked on together; scores of a block stay in the caches.
constexpr std::int64_t kQueryBlock = 48;
/// Queries that share one causal limit: rows of a tile.
constexpr std::int64_t kQueryStep = 12;

/// Fetches a head's row ahead of its use: rows of one head lie too far apart for the core to foresee the next one.
template <class T>
inline void fetch_head(const T* p, const Attention& g) {
  for (std::int64_t j = 0; j < g.head_dim; j += kLine<T>) __builtin_prefetch(p + j);
}

/// A head's row as fp32, rotated to its position, padded with zeros to whole vectors.
template <class T>
inline void load_head(const T* p, const Attention& g, std::int64_t position, float scale, float* out) {
  const std::int64_t half = g.head_dim / 2, padded = round_up(g.head_dim, kLanes);
  if (g.cosines == nullptr || position < 0) {
    for_vectors(g.head_dim, [&](std::int64_t j, std::int64_t n) { store(out + j, load(p + j, n) * scale, kLanes); });
    return;
  }
  if (padded != g.head_dim) store(out + padded - kLanes, Float{});
  const float* cosines = g.cosines + position * half;
  const float* sines = g.sines + position * half;
  for_vectors(half, [&](std::int64_t j, std::int64_t n) {
    const Float x = load(p + j, n) * scale, y = load(p + half + j, n) * scale;
    const Float c = load(cosines + j, n), s = load(sines + j, n);
    store(out + j, x * c - y * s, n);
    store(out + half + j, y * c + x * s, n);
  });
}

/// The way back for a gradient: rotates by minus the position and stores (or adds to) a head's row.
template <class T>
inline void store_head(T* p, const Attention& g, std::int64_t position, float scale, const float* in) {
  const std::int64_t half = g.head_dim / 2;
  if (g.cosines == nullptr || position < 0) {
    for_vectors(g.head_dim, [&](std::int64_t j, std::int64_t n) { store(p + j, load(in + j, n) * scale, n); });
    return;
  }
  const float* cosines = g.cosines + position * half;
  const float* sines = g.sines + position * half;
  for_vectors(half, [&](std::int64_t j, std::int64_t n) {
    const Float x = load(in + j, n) * scale, y = load(in + half + j, n) * scale;
    const Float c = load(cosines + j, n), s = load(sines + j, n);
    store(p + j, x * c + y * s, n);
    store(p + half + j, y * c - x * s, n);
  });
}

/// One task's sequence and work space.
struct AttentionTask {
  std::int64_t first_query, queries, first_key, keys;
  std::int64_t rows;    ///< keys in whole vectors
  std::int64_t width;   ///< head_dim in whole vectors
  std::int64_t stride;  ///< of score rows and transposed matrices: whole vectors, never a multiple of a page's lines

  AttentionTask(const Attention& g, std::int64_t sequence)
      : first_query(g.query_offsets[sequence]),
        queries(g.query_offsets[sequence + 1] - first_query),
        first_key(g.key_offsets[sequence]),
        keys(g.key_offsets[sequence + 1] - first_key),
        rows(round_up(keys, kLanes)),
        width(round_up(g.head_dim, kLanes)),
        stride(stride_for(keys)) {}

  static std::int64_t stride_for(std::int64_t keys) { return (round_up(keys, 16) / 16 | 1) * 16; }

  /// Position of a query (index in the sequence) among the keys.
  std::int64_t position(const Attention& g, std::int64_t query) const {
    return g.query_positions != nullptr ? g.query_positions[first_query + query] : keys - queries + query;
  }

  /// Keys from the first one on that a query sees, those before its window included.
  std::int64_t seen(const Attention& g, std::int64_t query) const { return g.causal ? position(g, query) + 1 : keys; }
};

std::int64_t attention_scratch(const Attention& g, std::int64_t keys, bool backward) {
  const std::int64_t width = round_up(g.head_dim, kLanes), stride = AttentionTask::stride_for(keys);
  const std::int64_t rows = round_up(keys, kLanes);
  if (!backward) return width * stride + rows * width + kQueryBlock * (stride + 2 * width) + 64;
  return 2 * width * stride + 3 * rows * width + kQueryBlock * (2 * stride + 3 * width + 2) + 64;
}

/// Keys or values of one head as a matrix [rows, width], zeros behind the last one.
/// \param p the head's part of the sequence's first row
template <class T>
void load_rows(const T* p, const Attention& g, const AttentionTask& t, bool rotates, float* out) {
  constexpr std::int64_t kAhead = 8;
  for (std::int64_t j = 0; j < t.keys; ++j, p += g.kv_stride, out += t.width) {
    fetch_head(p + kAhead * g.kv_stride, g);
    load_head(p, g, rotates ? j : -1, 1.f, out);
  }
  for (std::int64_t i = 0; i < (t.rows - t.keys) * t.width; ++i) out[i] = 0;
}

/// A matrix [rows, width] as [width, stride], zeros behind the last column.
void transpose_rows(const float* in, const AttentionTask& t, float* out) {
  for (std::int64_t j = 0; j < t.width; j += kLanes) {
    for (std::int64_t i = 0; i < t.rows; i += kLanes) {
      Float square[kLanes];
      for (std::int64_t k = 0; k < kLanes; ++k) square[k] = load(in + (i + k) * t.width + j);
      transpose(square);
      for (std::int64_t k = 0; k < kLanes; ++k) store(out + (j + k) * t.stride + i, square[k]);
    }
    for (std::int64_t i = t.rows; i < t.stride; i += kLanes)
      for (std::int64_t k = 0; k < kLanes; ++k) store(out + (j + k) * t.stride + i, Float{});
  }
}

/// Adds the position bias to the scores of one query and hides the keys before its window.
template <class Args>
inline void place_scores(const Args& g, std::int64_t head, std::int64_t position, std::int64_t seen, float* scores) {
  constexpr float kHidden = -1e30f;  // its exponential is 0, and differences stay finite
  if (g.bias != nullptr) {
    const float* bias = g.bias + head * g.bias_stride - position;
    for_vectors(seen, [&](std::int64_t j, std::int64_t n) { store(scores + j, load(scores + j) + load(bias + j, n)); });
  }
  if (g.window > 0)
    for (std::int64_t j = 0; j < position + 1 - g.window; ++j) scores[j] = kHidden;
}

/// Row i of scores -> weights: e^(score - normaliser) for keys that the query sees, else 0.
inline void to_weights(float* scores, std::int64_t seen, std::int64_t padded, float normaliser) {
  for_vectors(seen, [&](std::int64_t j, std::int64_t n) {
    const Float e = exponential(load(scores + j) - normaliser);
    store(scores + j, Float{});
    store(scores + j, e, n);
  });
  for (std::int64_t j = round_up(seen, kLanes); j < padded; j += kLanes) store(scores + j, Float{});
}

/// Scores that the query sees -> e^(score - top), zeros behind them. \return top and the sum of the exponentials
struct RowSum {
  float top, total;
  float normaliser() const { return top + __builtin_logf(total); }
};
inline RowSum to_exponentials(float* scores, std::int64_t seen, std::int64_t padded) {
  constexpr float kLowest = -3.402823466e38f;
  Float tops = spread(kLowest);
  for_vectors(seen, [&](std::int64_t j, std::int64_t n) { tops = larger(tops, load(scores + j, n, kLowest)); });
  const float top = largest(tops);
  to_weights(scores, seen, padded, top);
  Float sums{};
  for (std::int64_t j = 0; j < round_up(seen, kLanes); j += kLanes) sums += load(scores + j);
  return {top, sum(sums)};
}

template <class T>
void attention_forward_task(const Attention& g, std::int64_t sequence, std::int64_t kv_head, float* scratch) {
  const AttentionTask t(g, sequence);
  if (t.queries == 0) return;
  const std::int64_t repeat = g.heads / g.kv_heads;
  float* keys = scratch;                       // transposed [width, stride]
  float* values = keys + t.width * t.stride;   // [rows, width]
  float* scores = values + t.rows * t.width;   // [block, stride]
  float* q = scores + kQueryBlock * t.stride;  // [block, width]
  float* out = q + kQueryBlock * t.width;      // [block, width]
  const std::int64_t first = t.first_key * g.kv_stride + kv_head * g.head_dim;
  load_rows(static_cast<const T*>(g.k) + first, g, t, true, values);
  transpose_rows(values, t, keys);
  load_rows(static_cast<const T*>(g.v) + first, g, t, false, values);
  for (std::int64_t head = kv_head * repeat; head < (kv_head + 1) * repeat; ++head) {
    for (std::int64_t i0 = 0; i0 < t.queries; i0 += kQueryStep) {
      const std::int64_t rows = least(kQueryStep, t.queries - i0);
      float inverse[kQueryStep];
      const T* from = static_cast<const T*>(g.q) + (t.first_query + i0) * g.q_stride + head * g.head_dim;
      for (std::int64_t i = 0; i < rows; ++i, from += g.q_stride) {
        fetch_head(from + kQueryStep * g.q_stride, g);
        load_head(from, g, t.position(g, i0 + i), g.scale, q + i * t.width);
      }
      const std::int64_t limit = t.seen(g, i0 + rows - 1), padded = round_up(limit, kLanes);
      block({rows, padded, t.width}, {q, t.width, 1}, {keys, t.stride}, {scores, t.stride});
      for (std::int64_t i = 0; i < rows; ++i) {
        const std::int64_t seen = t.seen(g, i0 + i);
        place_scores(g, head, t.position(g, i0 + i), seen, scores + i * t.stride);
        const RowSum row = to_exponentials(scores + i * t.stride, seen, padded);
        g.normalisers[(t.first_query + i0 + i) * g.heads + head] = row.normaliser();
        inverse[i] = 1.f / row.total;
      }
      block({rows, t.width, limit}, {scores, t.stride, 1}, {values, t.width}, {out, t.width});
      for (std::int64_t i = 0; i < rows; ++i)
        store_head(static_cast<T*>(g.out) + ((t.first_query + i0 + i) * g.heads + head) * g.head_dim, g, -1, inverse[i],
                   out + i * t.width);
    }
  }
}

void attention_forward(const Attention& g, std::int64_t sequence, std::int64_t kv_head, float* scratch) {
  with_type(g.type, [&]<class T>(T*) { attention_forward_task<T>(g, sequence, kv_head, scratch); });
}

}  // namespace
}  // namespace mneme::model::kernels
