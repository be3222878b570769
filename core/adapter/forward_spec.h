#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/model/transformer.h"

namespace mneme {

/// Identity of an adapter in the bank; stable over save and load, never used twice in a run.
using AdapterId = std::int64_t;

/// One adapter in a forward pass. Gates make the choice per sequence; they may need gradients.
struct AdapterUse {
  AdapterId adapter = 0;
  double coefficient = 1;
  at::Tensor gate;  ///< float [B], or undefined for 1
};

/// Which adapters are active in one forward pass and what shall come out. An argument, never state of the model.
struct ForwardSpec {
  std::vector<AdapterUse> adapters;
  at::Tensor prefix;    ///< [B, P, D] soft prompts before the tokens, or undefined
  bool dropout = true;  ///< whether adapter dropout acts; only ever in training

  bool want_logits = false;
  model::RowsNeeded rows = model::RowsNeeded::kLabels;
  model::HiddenStates hidden = model::HiddenStates::kNone;
  std::int64_t first_layer = 0;               ///< > 0: continue from `resume`
  std::int64_t end_layer = -1;                ///< stop before this layer
  at::Tensor resume;                          ///< [N, D]
  std::vector<std::int64_t> capture_linears;  ///< linears whose inputs are returned
};

/// The adapters alone, each with coefficient 1.
inline ForwardSpec with_adapters(std::vector<AdapterId> ids) {
  ForwardSpec spec;
  for (const AdapterId id : ids) spec.adapters.push_back({id, 1.0, {}});
  return spec;
}

/// Adapters mixed per sequence: sequence b uses adapters[k] with coefficient weights[b][k].
/// \param weights float [B, K]
ForwardSpec with_mixture(const std::vector<AdapterId>& adapters, const at::Tensor& weights);

/// One adapter for each sequence; 0: none, the bare model.
ForwardSpec with_adapter_each(const std::vector<AdapterId>& sequences);

}  // namespace mneme
