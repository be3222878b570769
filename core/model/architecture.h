#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/model/config.h"

namespace mneme::model {

/// Linears with the same input and where their weights are found in files.
struct GroupShape {
  struct Part {
    std::string name;  ///< "model.layers.0.self_attn.q_proj"
    std::int64_t out;
  };
  std::string name;  ///< "model.layers.0.self_attn.qkv"
  std::int64_t in = 0;
  bool bias = false;
  std::vector<Part> parts;

  std::int64_t out() const;
};

/// A pre-norm attention sublayer. Self-attention has q|k|v in `input` and an empty `memory`; attention to an encoder's
/// output has q in `input` and k|v in `memory`.
struct AttentionShape {
  std::string norm;
  GroupShape input, memory, output;
  std::string query_norm, key_norm;  ///< of each head; empty: none
};

/// Self-attention, attention to the encoder's output where there is one, and a feed-forward sublayer.
struct LayerShape {
  AttentionShape self, cross;  ///< cross.norm is empty where there is none
  std::string mlp_norm;
  GroupShape mlp_input, mlp_output;
};

/// Layers that run one after the other on one token axis.
struct StackShape {
  bool causal = true;
  std::vector<LayerShape> layers;
  std::string final_norm;
  std::string relative_bias;  ///< [buckets, heads]; empty: none
};

/// The names and sizes of all that a model is made of: the one place that knows how the families differ in files.
struct Architecture {
  std::string embedding, head;
  std::vector<StackShape> stacks;  ///< the decoder, or the encoder and the decoder
};

Architecture architecture(const TransformerConfig& config);

using NamedShapes = std::vector<std::pair<std::string, std::vector<std::int64_t>>>;

/// Hugging Face's names and shapes of all weights, in the order in which files hold them.
NamedShapes weight_shapes(const TransformerConfig& config);

}  // namespace mneme::model
