#include "core/model/blocks/fused_linear_call.h"

namespace mneme::model::blocks {

BackwardNode::Gradients FusedLinearNode::backward(Gradients&& gradients) {
  Gradients result(kFirstTerm + 2 * terms.size());
  if (!gradients[0].defined()) return result;
  const at::Tensor dy = gradients[0].contiguous();
  result[kX] = run_rows(dy);
  for (std::size_t t = 0; t < terms.size(); ++t) {
    if (needs(slice_edge(t) + 1)) result[slice_edge(t) + 1] = terms[t].gate_gradient();
    if (needs(slice_edge(t))) result[slice_edge(t)] = terms[t].slice_gradient();
  }
  if (needs(kWeight)) result[kWeight] = weight_gradient(dy);
  if (needs(kBias)) result[kBias] = dy.sum(0);
  return result;
}

void FusedLinearNode::release() {
  x = at::Tensor();
  terms.clear();
}

void FusedLinearNode::prepare_terms(std::int64_t rows, std::int64_t sums) {
  for (std::size_t t = 0; t < terms.size(); ++t) {
    terms[t].check_unchanged();
    terms[t].prepare_backward(needs(slice_edge(t)) ? x : at::Tensor(), rows, sums);
  }
}

FusedLinearCall::FusedLinearCall(const GroupWeight& of_weight, const at::Tensor& input, const GroupDeltas& deltas,
                                 const BlockContext& context)
    : weight(of_weight), x(input.contiguous()), trained(records(of_weight.weight, of_weight.bias)) {
  for (const LowRankDelta& delta : deltas.low_rank) {
    LowRankTerm term(delta, weight.out(), deltas, context);
    if (term.empty()) continue;
    terms.push_back(std::move(term));
    sources.insert(sources.end(), {delta.slice, delta.gate});
    trained = trained || records(delta.slice, delta.gate);
  }
  recorded = trained || records(x);
  if (!recorded)
    for (LowRankTerm& term : terms) term.skip_closed_rows();
}

}  // namespace mneme::model::blocks
