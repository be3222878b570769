#include "core/model/blocks/fused_linear_half.h"

#include <algorithm>
#include <optional>

#include "core/model/blocks/half_product.h"

namespace mneme::model::blocks {
namespace {

/// Most sums that the gradient of an adapter is made of. Their borders follow from the number of rows alone, so that
/// neither the number of threads nor their timing changes a bit.
constexpr std::int64_t kSums = 16;

double work_per_row(const at::Tensor& weight) { return 32.0 * static_cast<double>(weight.size(0) + weight.size(1)); }

/// Work space of one thread for the rows of a linear's input and output.
struct WideSpace {
  explicit WideSpace(const at::Tensor& weight) : inputs(weight.size(1)), outputs(weight.size(0)) {}
  WideRows inputs, outputs;
};

/// The product and what the terms add to it.
at::Tensor add_terms(const HalfProduct& product, const FusedLinearCall& call) {
  const at::Tensor& weight = call.weight.weight;
  const at::Tensor y = at::empty({call.x.size(0), weight.size(0)}, at::kBFloat16);
  share_rows(
      y.size(0), kWideRows, work_per_row(weight) + product.work_per_row(), [&] { return WideSpace(weight); },
      [&](std::int64_t row, std::int64_t rows, const WideSpace& space) {
        float* wide = product.rows(row, rows, space.outputs);
        const float* input = nullptr;
        for (const LowRankTerm& term : call.terms) {
          if (input == nullptr || term.dropout()) input = space.inputs.load(term.input(), row, rows);
          term.forward_rows({.row = row, .rows = rows, .input = input, .y = wide, .columns = y.size(1)});
          if (term.dropout()) input = nullptr;
        }
        store_rows(y, row, rows, wide);
      });
  return y;
}

/// The frozen products in bf16, those of the terms in fp32.
class HalfNode final : public FusedLinearNode {
  at::Tensor run_rows(const at::Tensor& dy) override {
    std::optional<HalfProduct> product;
    if (needs(kX)) product = HalfProduct::backward(dy, weight);
    if (!terms.empty()) return run_terms(dy, product);
    return product ? product->rounded() : at::Tensor();
  }

  at::Tensor weight_gradient(const at::Tensor& dy) const override { return at::mm(dy.t(), x); }

  at::Tensor run_terms(const at::Tensor& dy, const std::optional<HalfProduct>& product) {
    const std::int64_t rows = dy.size(0), height = std::max<std::int64_t>((rows + kSums - 1) / kSums, kWideRows);
    const std::int64_t sums = std::max<std::int64_t>((rows + height - 1) / height, 1);
    prepare_terms(rows, sums);
    const at::Tensor dx = product ? at::empty({rows, weight.size(1)}, at::kBFloat16) : at::Tensor();
    const double work = work_per_row(weight) + (product ? product->work_per_row() : 0);
    share_rows(
        rows, height, work, [&] { return WideSpace(weight); },
        [&](std::int64_t first, std::int64_t count, const WideSpace& space) {
          for (std::int64_t row = first; row < first + count; row += kWideRows)
            run_part({.row = row,
                      .rows = std::min(kWideRows, first + count - row),
                      .block = first / height,
                      .starts_sum = row == first},
                     dy, dx, product, space);
        });
    for (const LowRankTerm& term : terms) {
      if (!dx.defined() || !term.dropout()) continue;
      const at::Tensor wide = at::zeros(dx.sizes(), at::kFloat);
      term.add_dropped_gradient(wide);
      dx.add_(wide);
    }
    return dx;
  }

  /// Some rows of one sum: du, their share of dx, and of the slices' gradients.
  void run_part(GradientRows part, const at::Tensor& dy, const at::Tensor& dx,
                const std::optional<HalfProduct>& product, const WideSpace& space) const {
    part.dy = space.outputs.load(dy, part.row, part.rows);
    part.columns = weight.size(0);
    for (const LowRankTerm& term : terms) term.backward_rows(part.dy, part.columns, part.row, part.rows);
    if (product) {
      float* right = product->rows(part.row, part.rows, space.inputs);
      for (const LowRankTerm& term : terms)
        if (!term.dropout()) term.add_input_gradient(part.row, part.rows, right);
      store_rows(dx, part.row, part.rows, right);
    }
    for (std::size_t t = 0; t < terms.size(); ++t) {
      if (!needs(slice_edge(t))) continue;
      part.input = space.inputs.load(terms[t].input(), part.row, part.rows);
      std::vector<kernels::Gemm> products;
      std::vector<at::Tensor> operands;
      terms[t].append_products(part, products, operands);
      for (const kernels::Gemm& product_of_term : products) kernels::table().gemm(product_of_term);
    }
  }
};

}  // namespace

at::Tensor fused_linear_half(FusedLinearCall& call) {
  at::Tensor y;
  {
    const c10::NoGradGuard no_grad;
    const HalfProduct product = HalfProduct::forward(call.x, call.weight);
    for (LowRankTerm& term : call.terms) term.prepare_forward(call.x);
    y = call.terms.empty() ? product.rounded() : add_terms(product, call);
    for (LowRankTerm& term : call.terms) term.finish_forward();
  }
  call.record<HalfNode>(y);
  return y;
}

}  // namespace mneme::model::blocks
