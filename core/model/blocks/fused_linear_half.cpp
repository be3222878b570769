#include "core/model/blocks/fused_linear_half.h"

#include <algorithm>

namespace mneme::model::blocks {
namespace {

/// Rows that are widened to fp32 together: they stay in the second-level cache.
constexpr std::int64_t kChunk = 60;

/// Most sums that the gradient of an adapter is made of. Their borders follow from the number of rows alone, so that
/// neither the number of threads nor their timing changes a bit.
constexpr std::int64_t kSums = 8;

/// Work space of one thread for rows of a matrix in fp32.
class WideRows {
 public:
  explicit WideRows(std::int64_t columns) : columns_(columns), space_(new_matrix(kChunk, columns)) {}

  float* load(const at::Tensor& half, std::int64_t row, std::int64_t rows) {
    kernels::table().widen(conversion(half, row, rows));
    return space_.data_ptr<float>();
  }
  void store(const at::Tensor& half, std::int64_t row, std::int64_t rows) const {
    kernels::table().narrow(conversion(half, row, rows));
  }

 private:
  kernels::Conversion conversion(const at::Tensor& half, std::int64_t row, std::int64_t rows) const {
    return {.count = rows * columns_,
            .half = static_cast<at::BFloat16*>(half.data_ptr()) + row * columns_,
            .single = space_.data_ptr<float>()};
  }

  std::int64_t columns_;
  at::Tensor space_;
};

/// Calls f(row, rows) for the chunks of some rows.
template <class F>
void for_chunks(std::int64_t first, std::int64_t last, const F& f) {
  for (std::int64_t row = first; row < last; row += kChunk) f(row, std::min(kChunk, last - row));
}

double work_per_row(const at::Tensor& weight) { return 32.0 * static_cast<double>(weight.size(0) + weight.size(1)); }

/// y += what the terms add.
void add_terms(const at::Tensor& x, const at::Tensor& weight, std::vector<LowRankTerm>& terms, const at::Tensor& y) {
  if (terms.empty()) return;
  for (LowRankTerm& term : terms) term.prepare_forward(x);
  for_rows(x.size(0), work_per_row(weight), [&](std::int64_t first, std::int64_t last) {
    WideRows inputs(x.size(1)), outputs(y.size(1));
    for_chunks(first, last, [&](std::int64_t row, std::int64_t rows) {
      float* wide = outputs.load(y, row, rows);
      const float* input = nullptr;
      for (const LowRankTerm& term : terms) {
        if (input == nullptr || term.dropout()) input = inputs.load(term.input(), row, rows);
        term.forward_rows({.row = row, .rows = rows, .input = input, .y = wide, .columns = y.size(1)});
        if (term.dropout()) input = nullptr;
      }
      outputs.store(y, row, rows);
    });
  });
  for (LowRankTerm& term : terms) term.finish_forward();
}

/// The frozen products in bf16 by ATen, those of the terms in fp32.
class HalfNode final : public FusedLinearNode {
  at::Tensor run_rows(const at::Tensor& dy) override {
    const at::Tensor dx = needs(kX) ? at::mm(dy, weight) : at::Tensor();
    if (!terms.empty()) run_terms(dy, dx);
    return dx;
  }

  at::Tensor weight_gradient(const at::Tensor& dy) const override { return at::mm(dy.t(), x); }

  void run_terms(const at::Tensor& dy, const at::Tensor& dx) {
    const std::int64_t rows = dy.size(0), height = std::max<std::int64_t>((rows + kSums - 1) / kSums, kChunk);
    const std::int64_t sums = std::max<std::int64_t>((rows + height - 1) / height, 1);
    prepare_terms(rows, sums);
    for_rows(sums, static_cast<double>(height) * work_per_row(weight), [&](std::int64_t first, std::int64_t last) {
      const c10::NoGradGuard no_grad;
      for (std::int64_t sum = first; sum < last; ++sum) run_sum(dy, dx, sum, height);
    });
    for (const LowRankTerm& term : terms) {
      if (!dx.defined() || !term.dropout()) continue;
      const at::Tensor wide = at::zeros(dx.sizes(), at::kFloat);
      term.add_dropped_gradient(wide);
      dx.add_(wide);
    }
  }

  /// The rows of one sum: du, its share of dx, and the slices' gradients.
  void run_sum(const at::Tensor& dy, const at::Tensor& dx, std::int64_t sum, std::int64_t height) const {
    WideRows outputs(weight.size(0)), inputs(weight.size(1));
    const std::int64_t start = sum * height;
    for_chunks(start, std::min(start + height, dy.size(0)), [&](std::int64_t row, std::int64_t rows) {
      const float* wide = outputs.load(dy, row, rows);
      for (const LowRankTerm& term : terms) term.backward_rows(wide, weight.size(0), row, rows);
      if (dx.defined()) {
        float* right = inputs.load(dx, row, rows);
        for (const LowRankTerm& term : terms)
          if (!term.dropout()) term.add_input_gradient(row, rows, right);
        inputs.store(dx, row, rows);
      }
      for (std::size_t t = 0; t < terms.size(); ++t) {
        if (!needs(slice_edge(t))) continue;
        std::vector<kernels::Gemm> products;
        std::vector<at::Tensor> space;
        terms[t].append_products({.dy = wide,
                                  .columns = weight.size(0),
                                  .input = inputs.load(terms[t].input(), row, rows),
                                  .row = row,
                                  .rows = rows,
                                  .block = sum,
                                  .starts_sum = row == start},
                                 products, space);
        for (const kernels::Gemm& product : products) kernels::table().gemm(product);
      }
    });
  }
};

}  // namespace

at::Tensor fused_linear_half(FusedLinearCall& call) {
  at::Tensor y;
  {
    const c10::NoGradGuard no_grad;
    const GroupWeight& weight = call.weight;
    y = weight.packed ? weight.packed->product(call.x, weight.bias) : at::linear(call.x, weight.weight, weight.bias);
    add_terms(call.x, call.weight.weight, call.terms, y);
  }
  call.record<HalfNode>(y);
  return y;
}

}  // namespace mneme::model::blocks
