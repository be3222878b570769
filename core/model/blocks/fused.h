#pragma once
// What the fused insides of the blocks share. Included by sources only: it needs autograd's headers.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>

#include <algorithm>
#include <atomic>
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

/// Floating point operations that are worth the other threads: about 20 µs of one core, several times the price of
/// waking them.
constexpr double kWorth = 1e6;

/// Runs f(first, last) over row ranges on the threads, if the work (in floating point operations) is worth it.
template <class F>
void for_rows(std::int64_t rows, double work_per_row, const F& f) {
  const auto grain = static_cast<std::int64_t>(kWorth / (work_per_row + 1)) + 1;
  if (rows <= grain || at::get_num_threads() == 1) {
    if (rows > 0) f(std::int64_t{0}, rows);
    return;
  }
  at::parallel_for(0, rows, grain, f);
}

/// Runs f(task, space) for tasks 0 to count - 1, each thread taking the next with a space of its own, if the work of
/// all is worth it.
template <class Make, class F>
void share_tasks(std::int64_t count, double work, const Make& make_space, const F& f) {
  std::atomic<std::int64_t> next{0};
  const auto work_off = [&](std::int64_t, std::int64_t) {
    const c10::NoGradGuard no_grad;
    const auto space = make_space();
    for (std::int64_t task = next++; task < count; task = next++) f(task, space);
  };
  const std::int64_t threads = work > kWorth ? std::min<std::int64_t>(at::get_num_threads(), count) : 1;
  if (threads > 1)
    at::parallel_for(0, threads, 1, work_off);
  else if (count > 0)
    work_off(0, 1);
}

/// The same for pieces of at most `most` rows: f(row, rows, space).
template <class Make, class F>
void share_rows(std::int64_t rows, std::int64_t most, double work_per_row, const Make& make_space, const F& f) {
  share_tasks((rows + most - 1) / most, work_per_row * static_cast<double>(rows), make_space,
              [&](std::int64_t task, const auto& space) { f(task * most, std::min(most, rows - task * most), space); });
}

/// The same for the panels of a weight's columns: f(panel, panels).
template <class F>
void share_panels(std::int64_t panels, double work_per_panel, const F& f) {
  constexpr std::int64_t kPieces = 16;  // several per thread, as their speeds differ
  share_rows(
      panels, (panels + kPieces - 1) / kPieces, work_per_panel, [] { return 0; },
      [&](std::int64_t panel, std::int64_t count, int) { f(panel, count); });
}

}  // namespace mneme::model::blocks
