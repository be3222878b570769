#pragma once
// Activation functions of the instruction set that the including file is compiled for.
#include "core/model/kernels/simd.h"

namespace mneme::model::kernels {
namespace {

inline Float sigmoid(Float x) { return 1.f / (1.f + exponential(-x)); }

/// A function and its derivative.
struct Slope {
  Float value, slope;
};

struct Silu {
  static Slope at(Float x) {
    const Float s = sigmoid(x);
    return {x * s, s * (1.f + x * (1.f - s))};
  }
};

struct Relu {
  static Slope at(Float x) {
    const Float zero{};
    return {x > zero ? x : zero, x > zero ? zero + 1.f : zero};
  }
};

/// Hendrycks and Gimpel 2016, by tanh: (1 + tanh u) / 2 is the sigmoid of 2u.
struct GeluTanh {
  static Slope at(Float x) {
    constexpr float kScale = 1.5957691216f, kCubic = 0.044715f;  // 2 · sqrt(2 / π)
    const Float s = sigmoid(kScale * x * (1.f + kCubic * x * x));
    return {x * s, s + x * s * (1.f - s) * kScale * (1.f + 3.f * kCubic * x * x)};
  }
};

/// The exact one, x Φ(x); Φ by Abramowitz and Stegun 7.1.26, off by 1e-7 at most.
struct Gelu {
  static Slope at(Float x) {
    constexpr float kInverseRoot = 0.70710678119f, kDensity = 0.39894228040f;  // 1 / sqrt 2, 1 / sqrt(2π)
    const Float zero{};
    const Float z = (x < zero ? -x : x) * kInverseRoot, t = 1.f / (1.f + 0.3275911f * z), e = exponential(-z * z);
    const Float series =
        t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
    const Float tail = 0.5f * series * e;  // Φ(-|x|)
    const Float below = x < zero ? tail : 1.f - tail;
    return {x * below, below + x * kDensity * e};
  }
};

template <class T, class F>
void activation_forward_rows(const Activation& g) {
  const std::int64_t stride = g.gated ? 2 * g.width : g.width;
  for (std::int64_t i = 0; i < g.rows; ++i) {
    const T* x = static_cast<const T*>(g.x) + i * stride;
    T* out = static_cast<T*>(g.out) + i * g.width;
    for_vectors(g.width, [&](std::int64_t j, std::int64_t n) {
      Float y = F::at(load(x + j, n)).value;
      if (g.gated) y *= load(x + g.width + j, n);
      store(out + j, y, n);
    });
  }
}

template <class T, class F>
void activation_backward_rows(const Activation& g) {
  const std::int64_t stride = g.gated ? 2 * g.width : g.width;
  for (std::int64_t i = 0; i < g.rows; ++i) {
    const T* x = static_cast<const T*>(g.x) + i * stride;
    const T* grad = static_cast<const T*>(g.grad) + i * g.width;
    T* out = static_cast<T*>(g.out) + i * stride;
    for_vectors(g.width, [&](std::int64_t j, std::int64_t n) {
      const Slope f = F::at(load(x + j, n));
      const Float d = load(grad + j, n);
      if (!g.gated) return store(out + j, d * f.slope, n);
      store(out + g.width + j, d * f.value, n);
      store(out + j, d * load(x + g.width + j, n) * f.slope, n);
    });
  }
}

/// Calls f with a null pointer of the element type and one of the function.
template <class F>
inline void with_function(const Activation& g, F f) {
  with_type(g.type, [&]<class T>(T* element) {
    switch (g.function) {
      case Function::kSilu:
        return f(element, static_cast<Silu*>(nullptr));
      case Function::kGelu:
        return f(element, static_cast<Gelu*>(nullptr));
      case Function::kGeluTanh:
        return f(element, static_cast<GeluTanh*>(nullptr));
      case Function::kRelu:
        return f(element, static_cast<Relu*>(nullptr));
    }
  });
}

void activation_forward(const Activation& g) {
  with_function(g, [&]<class T, class F>(T*, F*) { activation_forward_rows<T, F>(g); });
}

void activation_backward(const Activation& g) {
  with_function(g, [&]<class T, class F>(T*, F*) { activation_backward_rows<T, F>(g); });
}

}  // namespace
}  // namespace mneme::model::kernels
