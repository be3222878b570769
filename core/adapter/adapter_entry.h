#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/adapter/lora.h"
#include "core/adapter/parameter_view.h"
#include "core/model/transformer.h"

namespace mneme {

class StateVisitor;

/// One adapter of a bank: a flat vector of values, cut into pieces that are leaves of the graph, and finer named views.
struct AdapterEntry {
  enum class Kind : std::int64_t { kLora, kFull, kSparse, kFree };

  AdapterId id = 0;
  std::string name;
  Kind kind = Kind::kFree;
  LoraOptions lora;
  std::vector<std::int64_t> shape;  // kFree
  std::vector<std::int64_t> support_linears;
  std::vector<at::Tensor> support_positions;

  // Derived from the above by build().
  std::vector<std::int64_t> piece_sizes;
  std::vector<std::shared_ptr<const model::LowRankLayout>> layouts;  // kLora: one per piece
  std::vector<std::int64_t> piece_groups;                            // kLora
  std::vector<double> piece_scales;                                  // kLora
  std::vector<ParameterView> views;
  std::vector<std::pair<std::string, at::Tensor>> model_weights;  // kFull: the model's own names and shapes
  std::int64_t size = 0;

  bool trained = false;
  at::Tensor values;               // fp32 [size]
  std::vector<at::Tensor> pieces;  // views of values; leaves with gradients when trained

  /// Derives everything from kind and options; the values are left alone.
  void build(const model::Transformer& model);
  /// Cuts the values into pieces anew, without gradients. Those of a full adapter become the model's weights.
  void rebuild_leaves(model::Transformer& model);
  /// What is not derived.
  void visit_state(StateVisitor& v);
};

}  // namespace mneme
