#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/model/blocks/fused.h"
#include "core/model/blocks/group_linear.h"
#include "core/model/blocks/low_rank_term.h"

namespace mneme::model::blocks {

/// The backward pass of fused_linear() but for its products, which depend on the dtype. Edges: x, weight, bias, then
/// slice and gate of each term.
class FusedLinearNode : public BackwardNode {
 public:
  enum Edge : std::size_t { kX, kWeight, kBias, kFirstTerm };
  std::string name() const override { return "GroupLinearBackward"; }

  at::Tensor x, weight;  ///< x undefined if nothing needs it
  std::vector<LowRankTerm> terms;

 protected:
  Gradients backward(Gradients&& gradients) final;
  void release() override;

  /// What the terms need of the gradient dy, and dx; undefined where no edge needs it.
  virtual at::Tensor run_rows(const at::Tensor& dy) = 0;
  virtual at::Tensor weight_gradient(const at::Tensor& dy) const = 0;

  static std::size_t slice_edge(std::size_t term) { return kFirstTerm + 2 * term; }
  /// \param sums see LowRankTerm::prepare_backward()
  void prepare_terms(std::int64_t rows, std::int64_t sums);
};

/// One call of fused_linear(): its input, its adapters, and whether a backward pass follows.
struct FusedLinearCall {
  FusedLinearCall(const GroupWeight& weight, const at::Tensor& x, const GroupDeltas& deltas,
                  const BlockContext& context);

  /// Hangs the backward pass on the call's result, to which the terms go over. \return nullptr where there is none
  template <class Node>
  std::shared_ptr<Node> record(const at::Tensor& y) {
    if (!recorded) return nullptr;
    auto node = make_node<Node>(torch::autograd::collect_next_edges(x, weight.weight, weight.bias, sources));
    if (trained) node->x = x.detach();
    node->weight = weight.weight.detach();
    node->terms = std::move(terms);
    torch::autograd::set_history(y, node);
    return node;
  }

  const GroupWeight& weight;
  at::Tensor x;
  std::vector<LowRankTerm> terms{};   ///< of the adapters that have columns in the weight's output
  std::vector<at::Tensor> sources{};  ///< slice and gate (maybe undefined) of each term
  bool trained = false;               ///< whether a gradient needs x: of the weight, its bias or a source
  bool recorded = false;
};

}  // namespace mneme::model::blocks
