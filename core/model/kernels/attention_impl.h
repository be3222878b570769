#pragma once
// Attention of packed sequences of the instruction set that the including file is compiled for.
#include "core/model/kernels/gemm_impl.h"

namespace mneme::model::kernels {
namespace {

/// Queries of one head that are worked on together; scores of a block stay in the caches.
constexpr std::int64_t kQueryBlock = 48;
/// Queries that share one causal limit: rows of a tile.
constexpr std::int64_t kQueryStep = 12;

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

/// Scatters a row of head_dim values into column `column` of a transposed matrix.
inline void put_column(const float* row, std::int64_t count, std::int64_t column, std::int64_t stride, float* out) {
  for (std::int64_t j = 0; j < count; ++j) out[j * stride + column] = row[j];
}

/// One task's sequence and work space.
struct AttentionTask {
  std::int64_t first_query, queries, first_key, keys;
  std::int64_t width;   ///< head_dim in whole vectors
  std::int64_t stride;  ///< of score rows and transposed matrices: whole vectors, never a multiple of a page's lines

  AttentionTask(const Attention& g, std::int64_t sequence)
      : first_query(g.query_offsets[sequence]),
        queries(g.query_offsets[sequence + 1] - first_query),
        first_key(g.key_offsets[sequence]),
        keys(g.key_offsets[sequence + 1] - first_key),
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
  if (!backward) return width * stride + keys * width + kQueryBlock * (stride + 2 * width) + 64;
  return 2 * width * stride + 4 * keys * width + kQueryBlock * (2 * stride + 3 * width + 2) + 64;
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
  float* values = keys + t.width * t.stride;   // [keys, width]
  float* scores = values + t.keys * t.width;   // [block, stride]
  float* q = scores + kQueryBlock * t.stride;  // [block, width]
  float* out = q + kQueryBlock * t.width;      // [block, width]
  for (std::int64_t j = 0; j < t.keys; ++j) {
    const std::int64_t at = (t.first_key + j) * g.kv_stride + kv_head * g.head_dim;
    load_head(static_cast<const T*>(g.k) + at, g, j, 1.f, out);
    put_column(out, t.width, j, t.stride, keys);
    load_head(static_cast<const T*>(g.v) + at, g, -1, 1.f, values + j * t.width);
  }
  for (std::int64_t j = 0; j < t.width; ++j)
    for (std::int64_t i = t.keys; i < t.stride; ++i) keys[j * t.stride + i] = 0;
  for (std::int64_t head = kv_head * repeat; head < (kv_head + 1) * repeat; ++head) {
    for (std::int64_t i0 = 0; i0 < t.queries; i0 += kQueryStep) {
      const std::int64_t rows = least(kQueryStep, t.queries - i0);
      float inverse[kQueryStep];
      for (std::int64_t i = 0; i < rows; ++i)
        load_head(static_cast<const T*>(g.q) + (t.first_query + i0 + i) * g.q_stride + head * g.head_dim, g,
                  t.position(g, i0 + i), g.scale, q + i * t.width);
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
