#include "core/model/recompute.h"

#include <torch/csrc/autograd/autograd.h>

#include <optional>

#include "core/base/random.h"
#include "core/model/blocks/fused.h"

namespace mneme::model {
namespace {

/// One layer with everything that computing it again needs.
struct LayerPass {
  const ModelWeights* weights = nullptr;
  StackRequest request{};
  PackedAttention attention;
  ActiveAdapters adapters{};  ///< of this layer's groups alone
  Memory memory{};
  std::optional<RandomStream> dropout{};  ///< as it was before the layer

  /// Every tensor that a gradient may flow to, after the layer's input.
  std::vector<at::Tensor*> sources() {
    std::vector<at::Tensor*> all;
    const auto add = [&](at::Tensor& tensor) {
      if (tensor.defined() && tensor.requires_grad()) all.push_back(&tensor);
    };
    add(memory.states);
    for (auto& group : adapters.groups) {
      for (LowRankDelta& delta : group) {
        add(delta.slice);
        add(delta.gate);
      }
    }
    for (WeightDelta& delta : adapters.weights) {
      add(delta.delta);
      add(delta.gate);
    }
    return all;
  }

  /// \param stream what adapter dropout draws from; nullptr for none
  at::Tensor run(const at::Tensor& hidden, RandomStream* stream) {
    StackRequest now = request;
    now.adapters = &adapters;
    now.attention = &attention;
    if (memory.states.defined()) now.memory = &memory;
    now.context.dropout = stream;
    const StackOutput out = run_stack(*weights, hidden, now);
    return out.delta.defined() ? out.residual + out.delta : out.residual;
  }
};

class RecomputeNode final : public blocks::BackwardNode {
 public:
  std::string name() const override { return "RecomputeBackward"; }
  at::Tensor hidden;
  std::optional<LayerPass> pass;

 protected:
  Gradients backward(Gradients&& gradients) override {
    Gradients result(num_outputs());
    if (!gradients[0].defined()) return result;
    const at::AutoGradMode on(true);
    const at::Tensor input = hidden.detach().requires_grad_(needs(0));
    LayerPass again = *pass;
    RandomStream* dropout = again.dropout ? &*again.dropout : nullptr;
    Gradients wanted;
    std::vector<std::size_t> edges;
    const auto want = [&](const at::Tensor& tensor, std::size_t edge) {
      if (!needs(edge)) return;
      wanted.push_back(tensor);
      edges.push_back(edge);
    };
    want(input, 0);
    std::size_t edge = 1;
    for (at::Tensor* source : again.sources()) {
      *source = source->detach().requires_grad_(true);
      want(*source, edge++);
    }
    const Gradients found =
        torch::autograd::grad({again.run(input, dropout)}, wanted, {gradients[0]}, /*retain_graph=*/false,
                              /*create_graph=*/false, /*allow_unused=*/true);
    for (std::size_t i = 0; i < edges.size(); ++i) result[edges[i]] = found[i];
    return result;
  }

  void release() override {
    hidden = at::Tensor();
    pass.reset();
  }
};

/// The adapters of one layer; the groups of others are left empty.
ActiveAdapters adapters_of_layer(const ModelWeights& weights, const ActiveAdapters* all, std::int64_t layer) {
  ActiveAdapters chosen;
  if (all == nullptr) return chosen;
  chosen.groups.resize(all->groups.size());
  for (std::size_t g = 0; g < all->groups.size(); ++g)
    if (weights.groups[g].layer == layer) chosen.groups[g] = all->groups[g];
  for (const WeightDelta& delta : all->weights)
    if (weights.linears[static_cast<std::size_t>(delta.linear)].layer == layer) chosen.weights.push_back(delta);
  return chosen;
}

at::Tensor run_layer(LayerPass pass, const at::Tensor& hidden) {
  torch::autograd::edge_list edges = torch::autograd::collect_next_edges(hidden);
  bool recorded = blocks::records(hidden);
  for (const at::Tensor* source : pass.sources()) {
    recorded = recorded || blocks::records(*source);
    for (auto& edge : torch::autograd::collect_next_edges(*source)) edges.push_back(std::move(edge));
  }
  at::Tensor out;
  {
    const c10::NoGradGuard no_grad;
    out = pass.run(hidden, pass.request.context.dropout);
  }
  if (!recorded) return out;
  auto node = blocks::make_node<RecomputeNode>(std::move(edges));
  node->hidden = hidden.detach();
  node->pass = std::move(pass);
  torch::autograd::set_history(out, node);
  return out;
}

}  // namespace

StackOutput run_stack_recomputed(const ModelWeights& weights, const at::Tensor& hidden, StackRequest request,
                                 const PackedAttention& attention) {
  MNEME_CHECK(request.capture_linears.empty(), "Inputs of linears cannot be captured where layers are computed again");
  StackOutput output{.residual = hidden};
  const std::int64_t end = request.end_layer;
  const ActiveAdapters* adapters = request.adapters;
  for (std::int64_t layer = request.first_layer; layer < end; ++layer) {
    if (request.want_hidden) output.hidden.push_back(output.residual);
    LayerPass pass{.weights = &weights, .request = request, .attention = attention};
    pass.request.first_layer = layer;
    pass.request.end_layer = layer + 1;
    pass.request.want_hidden = false;
    pass.adapters = adapters_of_layer(weights, adapters, layer);
    if (request.memory != nullptr) pass.memory = *request.memory;
    if (request.context.dropout != nullptr) pass.dropout = *request.context.dropout;
    output.residual = run_layer(std::move(pass), output.residual);
  }
  return output;
}

}  // namespace mneme::model
