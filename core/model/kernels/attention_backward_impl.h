#pragma once
// Gradients of attention_impl.h, of the instruction set that the including file is compiled for.
#include "core/model/kernels/attention_impl.h"

namespace mneme::model::kernels {
namespace {

/// Work space of one backward task.
struct BackwardSpace {
  float *keys, *keys_t, *values_t, *grad_keys, *grad_values, *weights, *grads, *q, *grad_out, *grad_q, *dots;

  BackwardSpace(const AttentionTask& t, float* p) {
    const auto take = [&](std::int64_t n) {
      float* start = p;
      p += n;
      return start;
    };
    keys = take(t.rows * t.width);
    keys_t = take(t.width * t.stride);
    values_t = take(t.width * t.stride);
    grad_keys = take(t.rows * t.width);
    grad_values = take(t.rows * t.width);
    weights = take(kQueryBlock * t.stride);
    grads = take(kQueryBlock * t.stride);
    q = take(kQueryBlock * t.width);
    grad_out = take(kQueryBlock * t.width);
    grad_q = take(kQueryBlock * t.width);
    dots = take(kQueryBlock);
  }
};

template <class T>
void load_backward_keys(const Attention& g, const AttentionTask& t, std::int64_t kv_head, const BackwardSpace& w) {
  const std::int64_t first = t.first_key * g.kv_stride + kv_head * g.head_dim;
  load_rows(static_cast<const T*>(g.k) + first, g, t, true, w.keys);
  transpose_rows(w.keys, t, w.keys_t);
  load_rows(static_cast<const T*>(g.v) + first, g, t, false, w.grad_values);
  transpose_rows(w.grad_values, t, w.values_t);
  for (std::int64_t j = 0; j < t.keys * t.width; ++j) w.grad_keys[j] = w.grad_values[j] = 0;
}

/// A few rows of a block of queries of one head.
struct QueryStep {
  std::int64_t head, block;  ///< the block's first query
  std::int64_t first, rows;  ///< queries of the sequence
  std::int64_t padded;       ///< keys that the block sees, in whole vectors
};

/// Weights P and score gradients dS of a step's rows, and the queries' gradients.
template <class T>
void backward_step(const Attention& g, const AttentionTask& t, const BackwardSpace& w, const QueryStep& step) {
  const auto [head, block_start, i0, rows, padded] = step;
  const std::int64_t at = i0 - block_start;
  float* q = w.q + at * t.width;
  float* grad_out = w.grad_out + at * t.width;
  for (std::int64_t i = 0; i < rows; ++i) {
    const std::int64_t row = t.first_query + i0 + i, next = kQueryStep * g.heads * g.head_dim;
    const T* from = static_cast<const T*>(g.q) + row * g.q_stride + head * g.head_dim;
    const T* out = static_cast<const T*>(g.out) + (row * g.heads + head) * g.head_dim;
    const T* out_gradient = static_cast<const T*>(g.grad_out) + (row * g.heads + head) * g.head_dim;
    fetch_head(from + kQueryStep * g.q_stride, g);
    fetch_head(out + next, g);
    fetch_head(out_gradient + next, g);
    load_head(from, g, t.position(g, i0 + i), g.scale, q + i * t.width);
    load_head(out_gradient, g, -1, 1.f, grad_out + i * t.width);
    Float dot{};
    for_vectors(g.head_dim,
                [&](std::int64_t j, std::int64_t n) { dot += load(out + j, n) * load(grad_out + i * t.width + j); });
    w.dots[at + i] = sum(dot);
  }
  const std::int64_t limit = t.seen(g, i0 + rows - 1), columns = round_up(limit, kLanes);
  float* weights = w.weights + at * t.stride;
  float* grads = w.grads + at * t.stride;
  block({rows, columns, t.width}, {q, t.width, 1}, {w.keys_t, t.stride}, {weights, t.stride});
  block({rows, columns, t.width}, {grad_out, t.width, 1}, {w.values_t, t.stride}, {grads, t.stride});
  for (std::int64_t i = 0; i < rows; ++i) {
    const std::int64_t seen = t.seen(g, i0 + i);
    float* p = weights + i * t.stride;
    place_scores(g, head, t.position(g, i0 + i), seen, p);
    float* d = grads + i * t.stride;
    to_weights(p, seen, padded, g.normalisers[(t.first_query + i0 + i) * g.heads + head]);
    const float dot = w.dots[at + i];
    for_vectors(round_up(seen, kLanes),
                [&](std::int64_t j, std::int64_t) { store(d + j, load(p + j) * (load(d + j) - dot)); });
    for (std::int64_t j = round_up(seen, kLanes); j < padded; j += kLanes) store(d + j, Float{});
  }
  float* grad_q = w.grad_q + at * t.width;
  block({rows, t.width, limit}, {grads, t.stride, 1}, {w.keys, t.width}, {grad_q, t.width});
  for (std::int64_t i = 0; i < rows; ++i)
    store_head(static_cast<T*>(g.grad_q) + (t.first_query + i0 + i) * g.grad_q_stride + head * g.head_dim, g,
               t.position(g, i0 + i), g.scale, grad_q + i * t.width);
}

template <class T>
void attention_backward_task(const Attention& g, std::int64_t sequence, std::int64_t kv_head, float* scratch) {
  const AttentionTask t(g, sequence);
  const BackwardSpace w(t, scratch);
  load_backward_keys<T>(g, t, kv_head, w);
  const std::int64_t repeat = g.heads / g.kv_heads;
  for (std::int64_t head = kv_head * repeat; head < (kv_head + 1) * repeat; ++head) {
    for (std::int64_t b0 = 0; b0 < t.queries; b0 += kQueryBlock) {
      const std::int64_t end = least(t.queries, b0 + kQueryBlock);
      const std::int64_t padded = round_up(t.seen(g, end - 1), kLanes);
      for (std::int64_t i0 = b0; i0 < end; i0 += kQueryStep)
        backward_step<T>(g, t, w, {head, b0, i0, least(kQueryStep, end - i0), padded});
      // Keys get their share of the block, step by step from the first query that sees them.
      std::int64_t first = b0;
      const std::int64_t limit = t.seen(g, end - 1);
      for (std::int64_t j0 = 0; j0 < limit; j0 += kQueryStep) {
        while (first < end && t.seen(g, first) <= j0) ++first;
        const std::int64_t count = least(kQueryStep, limit - j0), at = first - b0;
        const Extent size{count, t.width, end - first};
        block(size, {w.grads + at * t.stride + j0, 1, t.stride}, {w.q + at * t.width, t.width},
              {w.grad_keys + j0 * t.width, t.width, true});
        block(size, {w.weights + at * t.stride + j0, 1, t.stride}, {w.grad_out + at * t.width, t.width},
              {w.grad_values + j0 * t.width, t.width, true});
      }
    }
  }
  for (std::int64_t j = 0; j < t.keys; ++j) {
    const std::int64_t at = (t.first_key + j) * g.grad_kv_stride + kv_head * g.head_dim;
    store_head(static_cast<T*>(g.grad_k) + at, g, j, 1.f, w.grad_keys + j * t.width);
    store_head(static_cast<T*>(g.grad_v) + at, g, -1, 1.f, w.grad_values + j * t.width);
  }
}

void attention_backward(const Attention& g, std::int64_t sequence, std::int64_t kv_head, float* scratch) {
  with_type(g.type, [&]<class T>(T*) { attention_backward_task<T>(g, sequence, kv_head, scratch); });
}

}  // namespace
}  // namespace mneme::model::kernels
