#include "core/model/blocks/low_rank_term.h"

#include <algorithm>

#include "core/base/random.h"
#include "core/model/blocks/fused.h"

namespace mneme::model::blocks {
namespace {

constexpr std::int64_t kPad = 16;

std::vector<float> spread_gate(const at::Tensor& gate, const std::vector<std::int64_t>& offsets) {
  const at::Tensor values = gate.detach().to(at::kFloat).contiguous();
  std::vector<float> rows(static_cast<std::size_t>(offsets.back()));
  for (std::size_t s = 0; s + 1 < offsets.size(); ++s)
    std::fill(rows.begin() + offsets[s], rows.begin() + offsets[s + 1], floats(values)[s]);
  return rows;
}

/// A matrix in the order in which the kernels read it; `out` is filled in.
at::Tensor packed(kernels::Pack matrix) {
  const c10::NoGradGuard no_grad;
  const at::Tensor result = at::empty({kernels::table().packed_size(matrix.k, matrix.n)}, at::kFloat);
  matrix.out = result.data_ptr<float>();
  const std::int64_t panel = kernels::table().panel, panels = (matrix.n + panel - 1) / panel;
  for_rows(panels, 4.0 * static_cast<double>(matrix.k * panel), [&](std::int64_t first, std::int64_t last) {
    kernels::Pack part = matrix;
    part.n = std::min(matrix.n, last * panel) - first * panel;
    part.b += first * panel * matrix.b_col;
    part.out += first * panel * matrix.k;
    kernels::table().pack(part);
  });
  return result;
}

}  // namespace

at::Tensor new_matrix(std::int64_t rows, std::int64_t columns) {
  const c10::NoGradGuard no_grad;
  return at::empty({rows, columns}, at::kFloat);
}

void run_products(const std::vector<kernels::Gemm>& products) {
  std::vector<kernels::Gemm> pieces;
  double work = 0;
  constexpr std::int64_t kColumns = 128;
  for (const kernels::Gemm& g : products) {
    work += 2.0 * static_cast<double>(g.m * g.n) * static_cast<double>(g.k);
    for (std::int64_t first = 0; first < g.n; first += kColumns) {
      kernels::Gemm piece = g;
      piece.n = std::min(kColumns, g.n - first);
      piece.b += first;
      piece.c += first;
      pieces.push_back(piece);
    }
  }
  const auto count = static_cast<std::int64_t>(pieces.size());
  const double each = work / static_cast<double>(std::max<std::int64_t>(count, 1));
  for_rows(count, each, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) kernels::table().gemm(pieces[static_cast<std::size_t>(i)]);
  });
}

LowRankTerm::LowRankTerm(const LowRankDelta& delta, std::int64_t columns, const GroupDeltas& deltas,
                         const BlockContext& context)
    : layout_(delta.layout),
      scale_(delta.scale),
      slice_(delta.slice.detach()),
      version_(static_cast<std::int64_t>(delta.slice._version())),
      gate_(delta.gate.defined() ? delta.gate.detach() : delta.gate) {
  MNEME_CHECK(slice_.is_contiguous(), "An adapter's parameters do not lie in one piece");
  std::int64_t up = layout_->rank * layout_->in * static_cast<std::int64_t>(layout_->parts.size());
  for (std::size_t p = 0; p < layout_->parts.size(); ++p) {
    const auto& part = layout_->parts[p];
    const std::int64_t column = part.first_column - deltas.first_column;
    if (column >= 0 && column + part.out <= columns) {
      if (parts_.empty()) down_ = static_cast<std::int64_t>(p) * layout_->rank * layout_->in;
      parts_.push_back({.column = column, .out = part.out, .up = up});
    }
    up += part.out * layout_->rank;
  }
  if (context.dropout != nullptr && delta.dropout > 0) {
    dropout_ = delta.dropout;
    seed_ = context.dropout->next();
  }
  if (!gate_.defined()) return;
  MNEME_CHECK(deltas.offsets != nullptr && gate_.dim() == 1 &&
                  gate_.size(0) + 1 == static_cast<std::int64_t>(deltas.offsets->size()),
              "An adapter's gate has {} values; expected one per sequence of the batch", gate_.numel());
  offsets_ = *deltas.offsets;
  row_gate_ = spread_gate(gate_, offsets_);
}

void LowRankTerm::check_unchanged() const {
  MNEME_CHECK(static_cast<std::int64_t>(slice_._version()) == version_,
              "An adapter's parameters were changed between the forward and the backward pass");
}

std::int64_t LowRankTerm::stride() const { return (width() + 2 * kPad - 2) / kPad * kPad; }

at::Tensor LowRankTerm::dropped(const at::Tensor& x) const {
  if (!dropout()) return x;
  const c10::NoGradGuard no_grad;
  at::Tensor out = at::empty_like(x);
  for_rows(x.size(0), 10.0 * static_cast<double>(x.size(1)), [&](std::int64_t first, std::int64_t last) {
    kernels::table().dropout({.type = storage_of(x),
                              .first = first * x.size(1),
                              .count = (last - first) * x.size(1),
                              .seed = seed_,
                              .p = dropout_,
                              .x = x.const_data_ptr(),
                              .out = out.data_ptr()});
  });
  return out;
}

const float* LowRankTerm::gated_rows(const at::Tensor& matrix, std::int64_t row, std::int64_t rows,
                                     at::Tensor& space) const {
  const std::int64_t columns = stride();
  const float* in = floats(matrix) + row * columns;
  if (!gated()) return in;
  space = new_matrix(rows, columns);
  float* out = space.data_ptr<float>();
  for (std::int64_t i = 0; i < rows; ++i) {
    const float gate = row_gate_[static_cast<std::size_t>(row + i)];
    for (std::int64_t j = 0; j < columns; ++j) out[i * columns + j] = in[i * columns + j] * gate;
  }
  return out;
}

void LowRankTerm::prepare_forward(const at::Tensor& x) {
  input_ = dropped(x);
  packed_down_ = packed({.k = layout_->in, .n = width(), .b = a(), .b_row = 1, .b_col = layout_->in});
  u_ = new_matrix(x.size(0), stride());
  for (Part& part : parts_)
    part.packed = packed(
        {.k = rank(), .n = part.out, .b = b(part), .b_row = 1, .b_col = rank(), .scale = static_cast<float>(scale_)});
}

void LowRankTerm::forward_rows(const Rows& all) const {
  if (!skips_closed_) return forward_run(all);
  const auto open = [this](std::int64_t r) { return row_gate_[static_cast<std::size_t>(r)] != 0; };
  const std::int64_t end = all.row + all.rows;
  for (std::int64_t first = all.row, last; first < end; first = last) {
    for (last = first; last < end && open(last);) ++last;
    if (last > first)
      forward_run({.row = first,
                   .rows = last - first,
                   .input = all.input + (first - all.row) * layout_->in,
                   .y = all.y + (first - all.row) * all.columns,
                   .columns = all.columns});
    while (last < end && !open(last)) ++last;
  }
}

void LowRankTerm::forward_run(const Rows& g) const {
  kernels::table().gemm({.m = g.rows,
                         .n = width(),
                         .k = layout_->in,
                         .a = g.input,
                         .a_row = layout_->in,
                         .b = floats(packed_down_),
                         .c = u_.data_ptr<float>() + g.row * stride(),
                         .ldc = stride(),
                         .pad_columns = true});
  at::Tensor space;
  const float* u = gated_rows(u_, g.row, g.rows, space);
  for (std::size_t p = 0; p < parts_.size(); ++p) {
    kernels::table().gemm({.m = g.rows,
                           .n = parts_[p].out,
                           .k = rank(),
                           .a = u + static_cast<std::int64_t>(p) * rank(),
                           .a_row = stride(),
                           .b = floats(parts_[p].packed),
                           .c = g.y + parts_[p].column,
                           .ldc = g.columns,
                           .accumulate = true});
  }
}

void LowRankTerm::finish_forward() {
  input_ = packed_down_ = at::Tensor();
  for (Part& part : parts_) part.packed = at::Tensor();
}

void LowRankTerm::prepare_backward(const at::Tensor& x, std::int64_t rows, std::int64_t sums) {
  const c10::NoGradGuard no_grad;
  du_ = new_matrix(rows, stride());
  for (Part& part : parts_)
    part.packed =
        packed({.k = part.out, .n = rank(), .b = b(part), .b_row = rank(), .scale = static_cast<float>(scale_)});
  if (!x.defined()) return;
  input_ = dropped(x);
  // A sum's first rows overwrite it; where there are no rows it must be zero.
  const auto sum = [&](std::int64_t height, std::int64_t columns) {
    const at::Tensor made = at::empty({sums, height, columns}, at::kFloat);
    return rows > 0 ? made : at::zeros_like(made);
  };
  down_gradient_ = sum(width(), layout_->in);
  for (Part& part : parts_) part.gradient = sum(rank(), part.out);
}

void LowRankTerm::backward_rows(const float* dy, std::int64_t columns, std::int64_t row, std::int64_t rows) const {
  // A part's product may write zeros behind its columns; the next part's comes later and overwrites them.
  float* du = du_.data_ptr<float>() + row * stride();
  for (std::size_t p = 0; p < parts_.size(); ++p) {
    kernels::table().gemm({.m = rows,
                           .n = rank(),
                           .k = parts_[p].out,
                           .a = dy + parts_[p].column,
                           .a_row = columns,
                           .b = floats(parts_[p].packed),
                           .c = du + static_cast<std::int64_t>(p) * rank(),
                           .ldc = stride(),
                           .pad_columns = true});
  }
}

void LowRankTerm::add_input_gradient(std::int64_t row, std::int64_t rows, float* dx) const {
  at::Tensor space;
  kernels::table().gemm({.m = rows,
                         .n = layout_->in,
                         .k = width(),
                         .a = gated_rows(du_, row, rows, space),
                         .a_row = stride(),
                         .b = a(),
                         .ldb = layout_->in,
                         .c = dx,
                         .ldc = layout_->in,
                         .accumulate = true});
}

void LowRankTerm::add_dropped_gradient(const at::Tensor& dx) const {
  const c10::NoGradGuard no_grad;
  const at::Tensor through = at::zeros_like(dx);
  const std::int64_t in = dx.size(1);
  for_rows(dx.size(0), 2.0 * static_cast<double>(in * width()), [&](std::int64_t first, std::int64_t last) {
    add_input_gradient(first, last - first, through.data_ptr<float>() + first * in);
    kernels::table().dropout({.first = first * in,
                              .count = (last - first) * in,
                              .seed = seed_,
                              .p = dropout_,
                              .x = through.const_data_ptr(),
                              .out = dx.data_ptr(),
                              .accumulate = true});
  });
}

at::Tensor LowRankTerm::gate_gradient() const {
  const c10::NoGradGuard no_grad;
  at::Tensor result = at::zeros({gate_.size(0)}, at::kFloat);
  const float *u = floats(u_), *du = floats(du_);  // du carries the scale
  for (std::int64_t s = 0; s < gate_.size(0); ++s) {
    double total = 0;
    for (std::int64_t i = offsets_[static_cast<std::size_t>(s)]; i < offsets_[static_cast<std::size_t>(s) + 1]; ++i)
      for (std::int64_t j = 0; j < width(); ++j)
        total += static_cast<double>(u[i * stride() + j]) * static_cast<double>(du[i * stride() + j]);
    result.data_ptr<float>()[s] = static_cast<float>(total);
  }
  return result.to(gate_.scalar_type());
}

void LowRankTerm::append_products(const GradientRows& g, std::vector<kernels::Gemm>& products,
                                  std::vector<at::Tensor>& space) const {
  const std::int64_t in = layout_->in;
  at::Tensor u_space, du_space;
  const float* du = gated_rows(du_, g.row, g.rows, du_space);
  const float* u = gated_rows(u_, g.row, g.rows, u_space);
  products.push_back({.m = width(),
                      .n = in,
                      .k = g.rows,
                      .a = du,
                      .a_row = 1,
                      .a_col = stride(),
                      .b = g.input,
                      .ldb = in,
                      .c = down_gradient_.data_ptr<float>() + g.block * width() * in,
                      .ldc = in,
                      .accumulate = !g.starts_sum});
  for (std::size_t p = 0; p < parts_.size(); ++p) {
    products.push_back({.m = rank(),
                        .n = parts_[p].out,
                        .k = g.rows,
                        .a = u + static_cast<std::int64_t>(p) * rank(),
                        .a_row = 1,
                        .a_col = stride(),
                        .b = g.dy + parts_[p].column,
                        .ldb = g.columns,
                        .c = parts_[p].gradient.data_ptr<float>() + g.block * rank() * parts_[p].out,
                        .ldc = parts_[p].out,
                        .accumulate = !g.starts_sum});
  }
  if (gated()) space.insert(space.end(), {u_space, du_space});
}

at::Tensor LowRankTerm::slice_gradient() const {
  const c10::NoGradGuard no_grad;
  const bool whole = parts_.size() == layout_->parts.size();
  at::Tensor result = whole ? at::empty_like(slice_) : at::zeros_like(slice_);
  const auto total = [](const at::Tensor& sums) { return sums.size(0) == 1 ? sums[0] : sums.sum(0); };
  result.narrow(0, down_, width() * layout_->in).view({width(), layout_->in}).copy_(total(down_gradient_));
  for (const Part& part : parts_) {
    const at::Tensor up = total(part.gradient);
    result.narrow(0, part.up, part.out * rank()).view({part.out, rank()}).copy_(up.t().mul(scale_));
  }
  return result;
}

}  // namespace mneme::model::blocks
