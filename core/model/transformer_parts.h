#pragma once

#include <map>
#include <string>

#include "core/model/transformer.h"
#include "core/model/weights.h"

namespace mneme::model {

/// What a Transformer owns.
struct Transformer::Parts {
  ModelWeights weights;                     ///< frozen
  std::map<std::string, at::Tensor> bound;  ///< leaves that take the place of frozen weights
};

/// The way from a Transformer to its weights for the passes of this module.
class Weights {
 public:
  /// The weights to compute with: the frozen ones, or a joined form of the bound leaves made into `scratch`.
  static const ModelWeights& of(const Transformer& model, std::unique_ptr<ModelWeights>& scratch);
};

}  // namespace mneme::model
