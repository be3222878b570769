#pragma once

#include <map>
#include <string>

#include "core/model/decoder_weights.h"
#include "core/model/transformer.h"

namespace mneme::model {

/// What a Transformer owns.
struct Transformer::Parts {
  DecoderWeights weights;                   ///< frozen
  std::map<std::string, at::Tensor> bound;  ///< leaves that take the place of frozen weights
};

/// The way from a Transformer to its weights for the passes of this module.
class Decoder {
 public:
  /// The weights to compute with: the frozen ones, or a joined form of the bound leaves made into `scratch`.
  static const DecoderWeights& weights(const Transformer& model, std::unique_ptr<DecoderWeights>& scratch);
};

}  // namespace mneme::model
