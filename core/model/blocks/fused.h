#pragma once
// What the fused insides of the blocks share. Included by sources only: it needs autograd's headers.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>

#include <memory>
#include <utility>

#include "core/base/error.h"
#include "core/model/blocks/backend.h"
#include "core/model/kernels/kernels.h"

namespace mneme::model::blocks {

/// Whether own kernels take this tensor.
inline bool takes_fused(const BlockContext& context, const at::Tensor& x) {
  return context.backend == BlockBackend::kFused && x.device().is_cpu() &&
         (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
}

inline kernels::Storage storage_of(const at::Tensor& x) {
  return x.scalar_type() == at::kFloat ? kernels::Storage::kFloat : kernels::Storage::kBFloat16;
}

/// Whether an operation on these tensors must be recorded for the backward pass.
template <class... Tensors>
bool records(const Tensors&... tensors) {
  return at::GradMode::is_enabled() && ((tensors.defined() && tensors.requires_grad()) || ...);
}

/// A hand-written backward pass. Unlike torch::autograd::Function it tracks any number of tensors.
class BackwardNode : public torch::autograd::Node {
 public:
  using Gradients = torch::autograd::variable_list;

  Gradients apply(Gradients&& gradients) final {
    MNEME_CHECK(!at::GradMode::is_enabled(), "Second derivatives of {} are not supported", name());
    MNEME_CHECK(!released_, "{}: the backward pass ran already and its saved values are gone; run the forward again",
                name());
    return backward(std::move(gradients));
  }

  void release_variables() final {
    released_ = true;
    release();
  }

 protected:
  /// \return one gradient per edge, undefined where none is needed
  virtual Gradients backward(Gradients&& gradients) = 0;
  virtual void release() = 0;

  bool needs(std::size_t edge) const { return task_should_compute_output(edge); }

 private:
  bool released_ = false;
};

template <class Node>
std::shared_ptr<Node> make_node(torch::autograd::edge_list edges) {
  std::shared_ptr<Node> node(new Node(), torch::autograd::deleteNode);
  node->set_next_edges(std::move(edges));
  return node;
}

/// Runs f(first, last) over row ranges on the threads, if the work (in floating point operations) is worth it.
template <class F>
void for_rows(std::int64_t rows, double work_per_row, const F& f) {
  constexpr double kWorth = 1e6;  // about 20 µs of one core, several times the price of waking the others
  const auto grain = static_cast<std::int64_t>(kWorth / (work_per_row + 1)) + 1;
  if (rows <= grain || at::get_num_threads() == 1) {
    if (rows > 0) f(std::int64_t{0}, rows);
    return;
  }
  at::parallel_for(0, rows, grain, f);
}

}  // namespace mneme::model::blocks
