#pragma once
// Row-wise kernels of the instruction set that the including file is compiled for.
#include "core/model/kernels/simd.h"

namespace mneme::model::kernels {
namespace {

template <class T>
void add_norm_forward_rows(const AddNormForward& g) {
  const auto* x = static_cast<const T*>(g.x);
  const auto* delta = static_cast<const T*>(g.delta);
  const auto* weight = static_cast<const T*>(g.weight);
  auto* residual = static_cast<T*>(g.residual);
  auto* normed = static_cast<T*>(g.normed);
  for (std::int64_t i = 0; i < g.rows; ++i) {
    const T* h = x + i * g.dim;
    Float squares{};
    if (delta != nullptr) {
      for_vectors(g.dim, [&](std::int64_t j, std::int64_t n) {
        store(residual + i * g.dim + j, load(x + i * g.dim + j, n) + load(delta + i * g.dim + j, n), n);
      });
      h = residual + i * g.dim;
    }
    for_vectors(g.dim, [&](std::int64_t j, std::int64_t n) {
      const Float v = load(h + j, n);
      squares += v * v;
    });
    const float rstd = 1.f / __builtin_sqrtf(sum(squares) / static_cast<float>(g.dim) + static_cast<float>(g.eps));
    g.rstd[i] = rstd;
    for_vectors(g.dim, [&](std::int64_t j, std::int64_t n) {
      store(normed + i * g.dim + j, load(h + j, n) * rstd * load(weight + j, n), n);
    });
  }
}

template <class T>
void add_norm_backward_rows(const AddNormBackward& g) {
  const auto* residual = static_cast<const T*>(g.residual);
  const auto* weight = static_cast<const T*>(g.weight);
  const auto* grad_normed = static_cast<const T*>(g.grad_normed);
  const auto* grad_residual = static_cast<const T*>(g.grad_residual);
  auto* grad_x = static_cast<T*>(g.grad_x);
  for (std::int64_t i = 0; i < g.rows; ++i) {
    const T* h = residual + i * g.dim;
    const T* dn = grad_normed == nullptr ? nullptr : grad_normed + i * g.dim;
    const T* dh = grad_residual == nullptr ? nullptr : grad_residual + i * g.dim;
    const float rstd = g.rstd[i];
    Float dots{};
    if (dn != nullptr) {
      for_vectors(g.dim, [&](std::int64_t j, std::int64_t n) {
        dots += load(dn + j, n) * load(weight + j, n) * load(h + j, n);
      });
      if (g.grad_weight != nullptr) {
        for_vectors(g.dim, [&](std::int64_t j, std::int64_t n) {
          store(g.grad_weight + j, load(g.grad_weight + j, n) + load(dn + j, n) * load(h + j, n) * rstd, n);
        });
      }
    }
    if (grad_x == nullptr) continue;
    const float back = sum(dots) * rstd * rstd * rstd / static_cast<float>(g.dim);
    for_vectors(g.dim, [&](std::int64_t j, std::int64_t n) {
      Float d{};
      if (dn != nullptr) d = load(dn + j, n) * load(weight + j, n) * rstd - load(h + j, n) * back;
      if (dh != nullptr) d += load(dh + j, n);
      store(grad_x + i * g.dim + j, d, n);
    });
  }
}

template <class T>
void label_loss_forward_rows(const LabelLoss& g) {
  constexpr float kLowest = -3.402823466e38f;
  for (std::int64_t i = 0; i < g.rows; ++i) {
    const T* logits = static_cast<const T*>(g.logits) + i * g.classes;
    Float tops = spread(kLowest);
    for_vectors(g.classes, [&](std::int64_t j, std::int64_t n) { tops = larger(tops, load(logits + j, n, kLowest)); });
    const float top = largest(tops);
    Float sums{};
    for_vectors(g.classes, [&](std::int64_t j, std::int64_t n) {
      const Float e = exponential(load(logits + j, n, kLowest) - top);
      if (n == kLanes)
        sums += e;
      else
        for (std::int64_t l = 0; l < n; ++l) sums[l] += e[l];
    });
    g.normalisers[i] = top + __builtin_logf(sum(sums));
    g.losses[i] = g.normalisers[i] - to_float(logits[g.labels[i]]);
  }
}

template <class T>
void label_loss_backward_rows(const LabelLoss& g) {
  for (std::int64_t i = 0; i < g.rows; ++i) {
    const T* logits = static_cast<const T*>(g.logits) + i * g.classes;
    T* out = static_cast<T*>(g.grad_logits) + i * g.classes;
    const float d = g.grad[i], normaliser = g.normalisers[i];
    for_vectors(g.classes, [&](std::int64_t j, std::int64_t n) {
      store(out + j, exponential(load(logits + j, n) - normaliser) * d, n);
    });
    const T* label = logits + g.labels[i];
    const float p = exponential(spread(to_float(*label) - normaliser))[0];
    put(out + g.labels[i], (p - 1.f) * d);
  }
}

template <class T>
void largest_of_rows(const LargestOfRow& g) {
  constexpr float kNone = -__builtin_inff();
  for (std::int64_t i = 0; i < g.rows; ++i) {
    const T* x = static_cast<const T*>(g.x) + i * g.columns;
    Float tops = spread(kNone);
    Int places{};  // of each lane's largest, less the lane
    for_vectors(g.columns, [&](std::int64_t j, std::int64_t n) {
      const Float values = load(x + j, n, kNone);
      const Int above = values > tops;
      tops = above ? values : tops;
      places = above ? Int{} + static_cast<std::int32_t>(j) : places;
    });
    std::int32_t place = 0;
    float top = kNone;
    for (std::int32_t lane = 0; lane < kLanes; ++lane) {
      const std::int32_t own = places[lane] + lane;
      if (tops[lane] > top || (tops[lane] == top && top > kNone && own < place)) {
        top = tops[lane];
        place = own;
      }
    }
    g.places[i] = place;
  }
}

/// 32 random bits of one element: the finaliser of SplitMix64 on a counter.
inline std::uint32_t random_bits(std::uint64_t seed, std::uint64_t index) {
  std::uint64_t z = seed + (index + 1) * 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return static_cast<std::uint32_t>((z ^ (z >> 31)) >> 32);
}

template <class T>
void dropout_range(const Dropout& g) {
  const auto bound = static_cast<std::uint64_t>(g.p * 4294967296.0);
  const auto keep = static_cast<float>(1 / (1 - g.p));
  const auto* x = static_cast<const T*>(g.x);
  auto* out = static_cast<T*>(g.out);
  for (std::int64_t i = g.first; i < g.first + g.count; ++i) {
    const float kept = random_bits(g.seed, static_cast<std::uint64_t>(i)) < bound ? 0.f : keep;
    put(out + i, (g.accumulate ? to_float(out[i]) : 0.f) + to_float(x[i]) * kept);
  }
}

void widen(const Conversion& g) {
  const auto* half = static_cast<const Bf16*>(g.half);
  for_vectors(g.count, [&](std::int64_t j, std::int64_t n) { store(g.single + j, load(half + j, n), n); });
}

void narrow(const Conversion& g) {
  auto* half = static_cast<Bf16*>(g.half);
  for_vectors(g.count, [&](std::int64_t j, std::int64_t n) { store(half + j, load(g.single + j, n), n); });
}

#define MNEME_DISPATCH(name, Args, function)                       \
  void name(const Args& args) {                                    \
    with_type(args.type, [&]<class T>(T*) { function<T>(args); }); \
  }
MNEME_DISPATCH(add_norm_forward, AddNormForward, add_norm_forward_rows)
MNEME_DISPATCH(add_norm_backward, AddNormBackward, add_norm_backward_rows)
MNEME_DISPATCH(label_loss_forward, LabelLoss, label_loss_forward_rows)
MNEME_DISPATCH(label_loss_backward, LabelLoss, label_loss_backward_rows)
MNEME_DISPATCH(largest_of_row, LargestOfRow, largest_of_rows)
MNEME_DISPATCH(dropout, Dropout, dropout_range)
#undef MNEME_DISPATCH

}  // namespace
}  // namespace mneme::model::kernels
