#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/model/adapters.h"
#include "core/model/architecture.h"
#include "core/model/blocks/activation.h"
#include "core/model/blocks/group_linear.h"
#include "core/model/blocks/rope.h"

namespace mneme::model {

/// The joined weight of a group of linears and its index in Transformer::groups().
struct LayerGroup {
  std::int64_t index = -1;
  blocks::GroupWeight weight{};
};

/// See AttentionShape. `query` and `keys` are row ranges of a self-attention's `input`, for layers that compute fewer
/// queries than keys.
struct AttentionWeights {
  at::Tensor norm{};  ///< [D]; undefined: the layer has no such sublayer
  LayerGroup input{}, memory{}, output{};
  at::Tensor query_norm{}, key_norm{};  ///< [head_dim] or undefined
  blocks::GroupWeight query{}, keys{};
};

struct LayerWeights {
  AttentionWeights self{}, cross{};
  at::Tensor mlp_norm{};  ///< [D]
  LayerGroup mlp_input{}, mlp_output{};
};

/// A stack's layers among those of the model, and what it has once.
struct StackWeights {
  std::int64_t first_layer = 0, end_layer = 0;
  bool causal = true;
  at::Tensor final_norm{};     ///< [D]
  at::Tensor relative_bias{};  ///< [buckets, heads] or undefined
};

/// All weights in the form that the layers compute with.
struct ModelWeights {
  ModelWeights(const TransformerConfig& config, at::ScalarType dtype, at::Device device);

  const StackWeights& decoder() const { return stacks.back(); }

  TransformerConfig config;
  at::ScalarType dtype;
  at::Device device;  ///< where the layers run
  MatmulPrecision precision = MatmulPrecision::kHighest;
  at::Tensor embedding{};  ///< [V, D]
  std::vector<StackWeights> stacks{};
  std::vector<LayerWeights> layers{};  ///< of all stacks, the encoder's first
  blocks::GroupWeight head{};          ///< [V, D]; the embedding itself when tied
  blocks::Activation mlp_activation{};
  std::shared_ptr<const blocks::RopeTable> rope{};  ///< nullptr: no rotary positions
  std::vector<LinearInfo> linears{};
  std::vector<GroupInfo> groups{};
};

/// Whether a model's linears on the CPU also lie packed in memory, which products of few rows gain most from: always in
/// fp32; in bf16 up to 4 GB of weights, so that a model of 7B fits the memory that it has without.
bool keeps_packed(const TransformerConfig& config, at::ScalarType dtype);

/// Builds the joined form of named weights (all of weight_shapes(), on any device; converted to dtype; gradients flow
/// through).
ModelWeights make_weights(const TransformerConfig& config, at::ScalarType dtype, at::Device device,
                          MatmulPrecision precision, const std::map<std::string, at::Tensor>& named);

/// The named weights of a joined form: views, in the order of weight_shapes().
std::vector<std::pair<std::string, at::Tensor>> named_weights(const ModelWeights& weights);

}  // namespace mneme::model
