#pragma once
// What the tests of blocks share: a block's fused inside against its plain one in fp64, forward and backward.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <functional>
#include <vector>

#include "core/model/blocks/backend.h"
#include "tests/core/model/model_support.h"
#include "tests/support/catch.h"

namespace mneme::model::blocks {

inline constexpr double kTolerance = 1e-5;
using Tensors = std::vector<at::Tensor>;
/// Outputs of a block from its differentiable inputs.
using Block = std::function<Tensors(const Tensors&, const BlockContext&)>;

inline Tensors leaves(const Tensors& inputs, at::ScalarType type) {
  Tensors result;
  for (const at::Tensor& x : inputs) result.push_back(x.detach().to(type).clone().requires_grad_(true));
  return result;
}

/// A scalar that weighs every output element differently, so that transposed or swapped gradients show.
inline at::Tensor weighed(const Tensors& outputs) {
  at::Tensor total = at::zeros({}, outputs[0].options());
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const at::Tensor w = at::arange(outputs[i].numel(), at::kDouble).add(static_cast<double>(i)).mul(0.37).cos();
    total = total + (outputs[i] * w.view(outputs[i].sizes()).to(outputs[i].options())).sum();
  }
  return total;
}

/// The fused block in fp32 equals the reference in fp64: outputs and gradients of all inputs.
inline void check_block(const Tensors& inputs, const Block& block, double tolerance = kTolerance) {
  const Tensors exact = leaves(inputs, at::kDouble), fast = leaves(inputs, at::kFloat);
  const Tensors expected = block(exact, {.backend = BlockBackend::kReference});
  const Tensors outputs = block(fast, {.backend = BlockBackend::kFused});
  REQUIRE(outputs.size() == expected.size());
  for (std::size_t i = 0; i < outputs.size(); ++i) CHECK(test::relative_error(outputs[i], expected[i]) < tolerance);
  const Tensors expected_gradients = test::gradients(weighed(expected), exact);
  const Tensors gradients = test::gradients(weighed(outputs), fast);
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    INFO("gradient of input " << i);
    CHECK(test::relative_error(gradients[i], expected_gradients[i]) < tolerance);
  }
}

/// The reference's own gradients by central differences in fp64.
inline void check_reference_gradients(const Tensors& inputs, const Block& block) {
  const Tensors x = leaves(inputs, at::kDouble);
  const BlockContext context{.backend = BlockBackend::kReference};
  const Tensors gradients = test::gradients(weighed(block(x, context)), x);
  mneme::RandomStream rng(5, "directions");
  for (std::size_t i = 0; i < x.size(); ++i) {
    const at::Tensor direction = at::randn_like(x[i]).detach();
    constexpr double kStep = 1e-5;
    const auto value = [&](double step) {
      const c10::NoGradGuard no_grad;
      Tensors moved = x;
      moved[i] = x[i] + step * direction;
      return weighed(block(moved, context)).item<double>();
    };
    const double slope = (value(kStep) - value(-kStep)) / (2 * kStep);
    INFO("input " << i);
    CHECK(slope == Approx((gradients[i] * direction).sum().item<double>()).epsilon(1e-6).margin(1e-7));
  }
}

inline void check_both(const Tensors& inputs, const Block& block) {
  check_block(inputs, block);
  check_reference_gradients(inputs, block);
}

}  // namespace mneme::model::blocks
