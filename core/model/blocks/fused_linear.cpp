#include "core/model/blocks/fused_linear.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "core/model/blocks/fused_linear_call.h"
#include "core/model/blocks/fused_linear_half.h"
#include "core/model/blocks/packed_weight.h"

namespace mneme::model::blocks {
namespace {

/// Rows that pass through all products of a group together, so that they are still in the second-level cache.
constexpr std::int64_t kChunk = 240;

/// Calls f(row, rows) for chunks of all rows, spread over the threads.
template <class F>
void for_chunks(std::int64_t rows, double work_per_row, const F& f) {
  share_rows(
      rows, kChunk, work_per_row, [] { return 0; }, [&](std::int64_t row, std::int64_t count, int) { f(row, count); });
}

/// The product left · right -> into [R, n]: of few rows at once, else when the rows are asked for.
class RowsProduct {
 public:
  RowsProduct(const at::Tensor& left, const RightFactor& right, const at::Tensor& into)
      : left_(left), right_(right), into_(into.data_ptr<float>()), done_(left.size(0) <= kFewRows) {
    if (done_)
      right.multiply_few(left, into_);
    else
      right.prepare();
  }

  /// Work per row that is left for run().
  double work() const { return done_ ? 0 : right_.work_per_row(); }

  /// Makes sure that some rows are done.
  void run(std::int64_t row, std::int64_t rows) const {
    if (!done_) right_.multiply_rows(left_, row, rows, into_ + row * right_.columns());
  }

 private:
  const at::Tensor& left_;
  const RightFactor& right_;
  float* into_;
  bool done_;
};

/// In fp32, by own kernels.
class SingleNode final : public FusedLinearNode {
 public:
  std::shared_ptr<const PackedWeight> packed;

 private:
  at::Tensor run_rows(const at::Tensor& dy) override {
    const bool one_thread = at::get_num_threads() == 1;
    prepare_terms(dy.size(0), 1);
    const at::Tensor dx = needs(kX) ? new_matrix(dy.size(0), weight.size(1)) : at::Tensor();
    run_chunks(dy, dx, one_thread);
    if (!one_thread) run_slices(floats(dy), 0, dy.size(0));
    return dx;
  }

  at::Tensor weight_gradient(const at::Tensor& dy) const override {
    const at::Tensor gradient = new_matrix(weight.size(0), weight.size(1));
    run_products({{.m = weight.size(0),
                   .n = weight.size(1),
                   .k = dy.size(0),
                   .a = floats(dy),
                   .a_row = 1,
                   .a_col = weight.size(0),
                   .b = floats(x),
                   .ldb = weight.size(1),
                   .c = gradient.data_ptr<float>(),
                   .ldc = weight.size(1)}});
    return gradient;
  }

  /// du of every term, and dx = dy W + Σ gate·du A; with one thread also the slices' gradients while the rows are in
  /// the cache (threads would write to the same sums).
  void run_chunks(const at::Tensor& dy, const at::Tensor& dx, bool with_slices) const {
    const std::int64_t out = weight.size(0), in = weight.size(1);
    if (terms.empty() && !dx.defined()) return;
    std::optional<RowsProduct> product;
    if (dx.defined()) product.emplace(dy, packed->backward(), dx);
    const double work = 32.0 * static_cast<double>(out) + (product ? product->work() : 0);
    for_chunks(dy.size(0), work, [&](std::int64_t row, std::int64_t rows) {
      const float* left = floats(dy) + row * out;
      float* right = dx.defined() ? dx.data_ptr<float>() + row * in : nullptr;
      if (product) product->run(row, rows);
      for (const LowRankTerm& term : terms) {
        term.backward_rows(left, out, row, rows);
        if (dx.defined() && !term.dropout()) term.add_input_gradient(row, rows, right);
      }
      if (with_slices) run_slices(left, row, rows);
    });
    for (const LowRankTerm& term : terms)
      if (dx.defined() && term.dropout()) term.add_dropped_gradient(dx);
  }

  /// Adds the rows' share to the slices' gradients.
  void run_slices(const float* dy, std::int64_t row, std::int64_t rows) const {
    std::vector<kernels::Gemm> products;
    std::vector<at::Tensor> space;
    for (std::size_t t = 0; t < terms.size(); ++t)
      if (needs(slice_edge(t)))
        terms[t].append_products({.dy = dy,
                                  .columns = weight.size(0),
                                  .input = floats(terms[t].input()) + row * weight.size(1),
                                  .row = row,
                                  .rows = rows,
                                  .starts_sum = row == 0},
                                 products, space);
    run_products(products);
  }
};

void run_forward(const at::Tensor& x, const PackedWeight& packed, std::vector<LowRankTerm>& terms, at::Tensor& y) {
  const std::int64_t in = x.size(1), out = y.size(1);
  for (LowRankTerm& term : terms) term.prepare_forward(x);
  const RowsProduct product(x, packed.forward(), y);
  for_chunks(x.size(0), 32.0 * static_cast<double>(in + out) + product.work(),
             [&](std::int64_t row, std::int64_t rows) {
               product.run(row, rows);
               for (const LowRankTerm& term : terms)
                 term.forward_rows({.row = row,
                                    .rows = rows,
                                    .input = floats(term.input()) + row * in,
                                    .y = y.data_ptr<float>() + row * out,
                                    .columns = out});
             });
  for (LowRankTerm& term : terms) term.finish_forward();
}

at::Tensor fused_linear_single(FusedLinearCall& call) {
  const GroupWeight& weight = call.weight;
  const auto packed = weight.packed ? weight.packed : std::make_shared<const PackedWeight>(weight.weight);
  at::Tensor y = new_matrix(call.x.size(0), weight.out());
  run_forward(call.x, *packed, call.terms, y);
  if (weight.bias.defined()) {
    const c10::NoGradGuard no_grad;
    y.add_(weight.bias);
  }
  if (const auto node = call.record<SingleNode>(y)) node->packed = packed;
  return y;
}

}  // namespace

bool fused_linear_takes(const GroupWeight& weight, const at::Tensor& x, const GroupDeltas& deltas) {
  const auto takes = [](const at::Tensor& t, at::ScalarType type) {
    return t.device().is_cpu() && t.scalar_type() == type;
  };
  const at::ScalarType type = x.scalar_type();
  return (type == at::kFloat || type == at::kBFloat16) && takes(x, type) && takes(weight.weight, type) &&
         std::all_of(deltas.low_rank.begin(), deltas.low_rank.end(),
                     [&](const LowRankDelta& delta) { return takes(delta.slice, at::kFloat); });
}

at::Tensor fused_linear(const GroupWeight& weight, const at::Tensor& x, const GroupDeltas& deltas,
                        const BlockContext& context) {
  FusedLinearCall call(weight, x, deltas, context);
  return x.scalar_type() == at::kBFloat16 ? fused_linear_half(call) : fused_linear_single(call);
}

}  // namespace mneme::model::blocks
