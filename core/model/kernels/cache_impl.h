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

/// Where the keys and values of one head of one slot lie.
template <class T>
struct CacheHead {
  std::int64_t kv_head;
  T *keys, *values;
  template <class Args>
  CacheHead(const Args& g, std::int64_t slot, std::int64_t of_head) : kv_head(of_head) {
    const std::int64_t first = (slot * g.kv_heads + kv_head) * g.capacity * g.stride;
    keys = static_cast<T*>(g.keys) + first;
    values = static_cast<T*>(g.values) + first;
  }
};

/// Writes one rotated key and one value of a row to a position of the cache. \param key work space of a head's width
template <class T, class Args>
inline void append(const Args& g, const CacheHead<T>& cache, std::int64_t row, std::int64_t position, float* key) {
  const std::int64_t from = row * g.kv_stride + cache.kv_head * g.head_dim, to = position * g.stride;
  load_head(static_cast<const T*>(g.k) + from, rotary_of(g), position, 1.f, key);
  const T* value = static_cast<const T*>(g.v) + from;
  for_vectors(g.head_dim, [&](std::int64_t e, std::int64_t n) {
    store(cache.keys + to + e, load(key + e), n);
    store(cache.values + to + e, load(value + e, n), n);
  });
}

template <class T>
void cache_store_task(const CacheStore& g, std::int64_t sequence, std::int64_t kv_head, float* scratch) {
  const CacheHead<T> cache(g, g.slots[sequence], kv_head);
  for (std::int64_t row = g.offsets[sequence]; row < g.offsets[sequence + 1]; ++row)
    append(g, cache, row, row - g.offsets[sequence], scratch);
}

std::int64_t cache_scratch(const CacheAttention& g) {
  const std::int64_t repeat = g.heads / g.kv_heads;
  return repeat * (g.capacity + 2 * round_up(g.head_dim, kLanes) + 1);
}

/// Products of a query with the keys of as many positions as a vector has lanes; fetches those of the next ones.
template <class T>
inline Float dots(const float* query, const T* keys, std::int64_t width, std::int64_t stride) {
  Float products[kLanes] = {};
  for (std::int64_t j = 0; j < width; j += kLanes) {
    const Float part = load(query + j);
#pragma GCC unroll 16
    for (std::int64_t i = 0; i < kLanes; ++i) {
      const T* key = keys + i * stride + j;
      __builtin_prefetch(key + kLanes * stride);
      products[i] += part * load(key);
    }
  }
  return sums(products);
}

/// The query heads that share a key head see the same keys and values: these come from memory once.
template <class T>
void cache_attention_task(const CacheAttention& g, std::int64_t row, std::int64_t kv_head, float* scratch) {
  const CacheHead<T> cache(g, g.slots[row], kv_head);
  const std::int64_t seen = g.positions[row] + 1, padded = round_up(seen, kLanes), repeat = g.heads / g.kv_heads;
  const std::int64_t width = round_up(g.head_dim, kLanes);
  float* q = scratch;
  float* out = q + repeat * width;
  float* scores = out + repeat * width;
  if (g.k != nullptr) append(g, cache, row, g.positions[row], out);
  for (std::int64_t h = 0; h < repeat; ++h)
    load_head(static_cast<const T*>(g.q) + row * g.q_stride + (kv_head * repeat + h) * g.head_dim, rotary_of(g),
              g.positions[row], g.scale, q + h * width);
  for (std::int64_t j = 0; j < padded; j += kLanes)
    for (std::int64_t h = 0; h < repeat; ++h)
      store(scores + h * g.capacity + j, dots(q + h * width, cache.keys + j * g.stride, width, g.stride));
  float* inverse = scores + repeat * g.capacity;
  for (std::int64_t h = 0; h < repeat; ++h) {
    place_scores(g, kv_head * repeat + h, g.positions[row], seen, scores + h * g.capacity);
    inverse[h] = 1.f / to_exponentials(scores + h * g.capacity, seen, padded).total;
  }
  block({repeat, width, seen}, {scores, g.capacity, 1}, Right<T>{cache.values, g.stride}, {out, width});
  for (std::int64_t h = 0; h < repeat; ++h)
    for_vectors(g.head_dim, [&](std::int64_t e, std::int64_t n) {
      store(static_cast<T*>(g.out) + (row * g.heads + kv_head * repeat + h) * g.head_dim + e,
            load(out + h * width + e) * inverse[h], n);
    });
}

void cache_store(const CacheStore& g, std::int64_t sequence, std::int64_t kv_head, float* scratch) {
  with_type(g.type, [&]<class T>(T*) { cache_store_task<T>(g, sequence, kv_head, scratch); });
}

void cache_attention(const CacheAttention& g, std::int64_t row, std::int64_t kv_head, float* scratch) {
  with_type(g.type, [&]<class T>(T*) { cache_attention_task<T>(g, row, kv_head, scratch); });
}

}  // namespace
}  // namespace mneme::model::kernels
