#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/model/adapters.h"
#include "core/model/blocks/group_linear.h"
#include "core/model/blocks/rope.h"
#include "core/model/config.h"

namespace mneme::model {

/// The groups of one layer, in the order of Transformer::groups().
enum class LayerGroup : std::int64_t { kQkv = 0, kOut = 1, kGateUp = 2, kDown = 3 };
constexpr std::int64_t kGroupsPerLayer = 4;

inline std::int64_t group_index(std::int64_t layer, LayerGroup group) {
  return layer * kGroupsPerLayer + static_cast<std::int64_t>(group);
}

/// Weights of one layer. `q` and `kv` are row ranges of `qkv`, for layers that compute fewer queries than keys.
struct LayerWeights {
  at::Tensor attention_norm{}, mlp_norm{};  ///< [D]
  blocks::GroupWeight qkv{}, out{}, gate_up{}, down{};
  blocks::GroupWeight q{}, kv{};
};

/// All weights of a decoder in the form that the layers compute with.
struct DecoderWeights {
  explicit DecoderWeights(const TransformerConfig& config, at::ScalarType dtype);

  TransformerConfig config;
  at::ScalarType dtype;
  at::Tensor embedding{};  ///< [V, D]
  std::vector<LayerWeights> layers{};
  at::Tensor final_norm{};     ///< [D]
  blocks::GroupWeight head{};  ///< [V, D]; the embedding itself when tied
  std::shared_ptr<const blocks::RopeTable> rope{};
  std::vector<LinearInfo> linears{};
  std::vector<GroupInfo> groups{};
};

/// Hugging Face's names and shapes of all weights, in the order in which files hold them.
std::vector<std::pair<std::string, std::vector<std::int64_t>>> weight_shapes(const TransformerConfig& config);

/// Builds the joined form of named weights (all of weight_shapes(); converted to dtype; gradients flow through).
DecoderWeights make_weights(const TransformerConfig& config, at::ScalarType dtype,
                            const std::map<std::string, at::Tensor>& named);

/// The named weights of a joined form: views, in the order of weight_shapes().
std::vector<std::pair<std::string, at::Tensor>> named_weights(const DecoderWeights& weights);

}  // namespace mneme::model
