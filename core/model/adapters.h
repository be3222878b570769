#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace mneme::model {

/// One linear of the model, y = W x with W [out, in]. Index in Transformer::linears() is its identity.
struct LinearInfo {
  std::string name{};  ///< Hugging Face's module path: "model.layers.3.self_attn.q_proj"
  std::int64_t layer;  ///< 0-based
  std::int64_t in, out;
  std::int64_t group;         ///< index in Transformer::groups()
  std::int64_t first_column;  ///< where its output starts in the group's output
};

/// Linears with the same input, computed as one matrix product: q|k|v, o, gate|up, down.
struct GroupInfo {
  std::string name{};  ///< "model.layers.3.self_attn.qkv"
  std::int64_t layer;
  std::int64_t in, out;                 ///< out: all columns together
  std::vector<std::int64_t> linears{};  ///< indices in Transformer::linears()
};

/// Where the factors of one low-rank adapter lie in its parameter slice of one group: first the A of all parts stacked
/// [parts·r, in], so that one product serves all, then each B [out_p, r] in the order of the parts.
struct LowRankLayout {
  struct Part {
    std::int64_t linear;        ///< index in Transformer::linears()
    std::int64_t first_column;  ///< in the group's output
    std::int64_t out;
  };
  std::int64_t rank = 0;
  std::int64_t in = 0;
  std::vector<Part> parts{};

  std::int64_t parameters() const {
    std::int64_t n = rank * in * static_cast<std::int64_t>(parts.size());
    for (const auto& part : parts) n += part.out * rank;
    return n;
  }
};

/// The low-rank update of one adapter on one group: y[:, part] += scale · gate · B (A dropout(x)).
struct LowRankDelta {
  at::Tensor slice{};                             ///< fp32 [layout->parameters()], a leaf when it is trained
  std::shared_ptr<const LowRankLayout> layout{};  ///< shared: it must outlive the backward pass
  double scale = 1;                               ///< alpha / r times the coefficient
  double dropout = 0;                             ///< on x, only when the forward request is in training mode
  at::Tensor gate{};  ///< float [B] coefficient per sequence, may need gradients; undefined: 1
};

/// A full update of one linear's weight: y += gate · (dW x). For sparse or dense experts.
struct WeightDelta {
  std::int64_t linear = 0;
  at::Tensor delta{};  ///< [out, in], may need gradients
  double scale = 1;
  at::Tensor gate{};  ///< float [B] or undefined
};

/// Everything that hangs on the frozen model in one forward pass. Never state of the model: an argument.
struct ActiveAdapters {
  std::vector<std::vector<LowRankDelta>> groups{};  ///< [groups of the model], or empty for none
  std::vector<WeightDelta> weights{};
  at::Tensor prefix{};  ///< [B, P, D] soft prompts fed before the tokens, or undefined

  bool empty() const { return groups.empty() && weights.empty() && !prefix.defined(); }
};

}  // namespace mneme::model
