#pragma once

#include <ATen/ATen.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/model/batch.h"
#include "core/model/transformer.h"

namespace mneme::model::test {

/// Largest |a - b| over the largest |b|.
double relative_error(const at::Tensor& a, const at::Tensor& b);

/// Small configs whose sizes are all different.
TransformerConfig small_config();
TransformerConfig small_t5_config();

/// Random weights large enough that all parts of the model matter.
std::unique_ptr<Transformer> lively_model(const TransformerConfig& config = small_config(),
                                          at::ScalarType dtype = at::kFloat);

/// One low-rank adapter on the named kinds of linears ("q_proj", …), with random factors.
struct AdapterOptions {
  std::vector<std::string> kinds{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
  std::int64_t rank = 4;
  double scale = 2;
  double deviation = 0.1;
  std::uint64_t seed = 1;
  bool requires_grad = true;
  std::int64_t first_layer = 0;
};
ActiveAdapters random_adapter(const Transformer& model, const AdapterOptions& options);

/// All slices of an adapter set, in the order of groups.
std::vector<at::Tensor> slices_of(const ActiveAdapters& adapters);

/// Random token sequences of the given lengths.
std::vector<std::vector<std::int32_t>> random_tokens(const std::vector<std::int64_t>& lengths, std::int64_t vocab,
                                                     std::uint64_t seed);

/// Packs sequences whose labels start at the given tokens.
PackedBatch pack_all(const std::vector<std::vector<std::int32_t>>& tokens, const std::vector<std::int64_t>& first);

/// Five sequences of the small config's tokens: their lengths, where their labels start, and the batch of them.
inline const std::vector<std::int64_t> kLengths{9, 2, 31, 17, 17};
inline const std::vector<std::int64_t> kFirst{5, 1, 2, 16, 3};
PackedBatch small_batch();

/// Gradients of loss in the given leaves; zeros where there is none.
std::vector<at::Tensor> gradients(const at::Tensor& loss, const std::vector<at::Tensor>& leaves);

}  // namespace mneme::model::test
