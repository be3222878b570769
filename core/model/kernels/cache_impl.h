#pragma once
// Decoding against a key-value cache, of the instruction set that the including file is compiled for.
#include "core/model/kernels/attention_impl.h"

namespace mneme::model::kernels {
namespace {

/// The part of Attention that load_head() needs.
template <class Args>
inline Attention rotary_of(const Args& g) {
  Attention a;
  a.head_dim = g.head_dim;
  a.cosines = g.cosines;
  a.sines = g.sines;
  return a;
}

/// Writes one rotated key and one value to a position of the cache.
template <class T>
inline void append(T* keys, T* values, const Attention& rotary, std::int64_t capacity, std::int64_t position,
                   const float* key, const T* value) {
  for (std::int64_t e = 0; e < rotary.head_dim; ++e) {
    put(keys + e * capacity + position, key[e]);
    values[position * rotary.head_dim + e] = value[e];
  }
}

template <class T>
void cache_store_task(const CacheStore& g, std::int64_t sequence, std::int64_t kv_head) {
  const Attention rotary = rotary_of(g);
  const std::int64_t at = (g.slots[sequence] * g.kv_heads + kv_head) * g.head_dim * g.capacity;
  T* keys = static_cast<T*>(g.keys) + at;
  T* values = static_cast<T*>(g.values) + at;
  constexpr std::int64_t kWidest = 4096;
  float key[kWidest + kLanes];
  for (std::int64_t row = g.offsets[sequence]; row < g.offsets[sequence + 1]; ++row) {
    const std::int64_t position = row - g.offsets[sequence], from = row * g.kv_stride + kv_head * g.head_dim;
    load_head(static_cast<const T*>(g.k) + from, rotary, position, 1.f, key);
    append(keys, values, rotary, g.capacity, position, key, static_cast<const T*>(g.v) + from);
  }
}

/// scores[0, count) = q · keys[head_dim, capacity].
template <class T>
inline void cache_scores(const float* q, const T* keys, std::int64_t head_dim, std::int64_t capacity,
                         std::int64_t count, float* scores) {
  for_vectors(count, [&](std::int64_t j, std::int64_t n) {
    Float dot{};
    for (std::int64_t e = 0; e < head_dim; ++e) dot += q[e] * load(keys + e * capacity + j, n);
    store(scores + j, dot);
  });
}

template <class T>
void cache_attention_task(const CacheAttention& g, std::int64_t row, std::int64_t kv_head, float* scratch) {
  const Attention rotary = rotary_of(g);
  const std::int64_t position = g.positions[row], seen = position + 1, repeat = g.heads / g.kv_heads;
  const std::int64_t at = (g.slots[row] * g.kv_heads + kv_head) * g.head_dim * g.capacity;
  T* keys = static_cast<T*>(g.keys) + at;
  T* values = static_cast<T*>(g.values) + at;
  const std::int64_t width = round_up(g.head_dim, kLanes);
  float* q = scratch;
  float* scores = scratch + width;
  const std::int64_t from = row * g.kv_stride + kv_head * g.head_dim;
  load_head(static_cast<const T*>(g.k) + from, rotary, position, 1.f, q);
  append(keys, values, rotary, g.capacity, position, q, static_cast<const T*>(g.v) + from);
  for (std::int64_t head = kv_head * repeat; head < (kv_head + 1) * repeat; ++head) {
    load_head(static_cast<const T*>(g.q) + row * g.q_stride + head * g.head_dim, rotary, position, g.scale, q);
    cache_scores(q, keys, g.head_dim, g.capacity, seen, scores);
    to_weights(scores, seen, round_up(seen, kLanes), normaliser_of(scores, seen));
    T* out = static_cast<T*>(g.out) + (row * g.heads + head) * g.head_dim;
    for_vectors(g.head_dim, [&](std::int64_t e, std::int64_t n) {
      Float total{};
      for (std::int64_t j = 0; j < seen; ++j) total += scores[j] * load(values + j * g.head_dim + e, n);
      store(out + e, total, n);
    });
  }
}

void cache_store(const CacheStore& g, std::int64_t sequence, std::int64_t kv_head) {
  with_type(g.type, [&]<class T>(T*) { cache_store_task<T>(g, sequence, kv_head); });
}

void cache_attention(const CacheAttention& g, std::int64_t row, std::int64_t kv_head, float* scratch) {
  with_type(g.type, [&]<class T>(T*) { cache_attention_task<T>(g, row, kv_head, scratch); });
}

}  // namespace
}  // namespace mneme::model::kernels
