#include "core/model/blocks/fused_linear.h"

#include <algorithm>
#include <string>
#include <vector>

#include "core/base/random.h"
#include "core/model/blocks/fused.h"
#include "core/model/kernels/kernels.h"

namespace mneme::model::blocks {
namespace {

constexpr std::int64_t kPad = 16;  // rows of u and du are padded to whole vectors
/// Rows that pass through all products of a group together, so that they are still in the second-level cache.
constexpr std::int64_t kChunk = 240;

const float* floats(const at::Tensor& t) { return t.const_data_ptr<float>(); }

at::Tensor new_matrix(std::int64_t rows, std::int64_t columns) {
  const c10::NoGradGuard no_grad;
  return at::empty({rows, columns}, at::kFloat);
}

/// One low-rank adapter on the columns of one call: which of its parts lie there, and what the backward pass needs.
struct LowRankTerm {
  struct Part {
    std::int64_t column, out;  ///< in this call's output
    std::int64_t up;           ///< where B [out, rank] starts in the slice
    at::Tensor packed_up{};    ///< scale·Bᵀ [rank, out] for the forward pass
    at::Tensor packed_down{};  ///< scale·B [out, rank] for the backward pass
  };
  std::shared_ptr<const LowRankLayout> layout{};
  std::vector<Part> parts{};
  std::int64_t down = 0;  ///< where the first part's A starts in the slice
  double scale = 1, dropout = 0;
  std::uint64_t seed = 0;
  std::uint32_t version = 0;
  at::Tensor slice{}, gate{};     ///< gate [B]; undefined: 1
  at::Tensor u{};                 ///< dropout(x) Aᵀ [R, stride], ungated
  std::vector<float> row_gate{};  ///< per row; empty without a gate

  std::int64_t rank() const { return layout->rank; }
  std::int64_t columns() const { return rank() * static_cast<std::int64_t>(parts.size()); }
  /// Row stride of u: the last part is followed by enough room for whole vectors.
  std::int64_t stride() const { return (columns() + 2 * kPad - 2) / kPad * kPad; }
  const float* a() const { return floats(slice) + down; }
  const float* b(const Part& part) const { return floats(slice) + part.up; }
};

/// Packs scale·B with element (i, j) at b[i·row + j·col].
at::Tensor pack(const float* b, std::int64_t k, std::int64_t n, std::int64_t row, std::int64_t col, double scale) {
  const c10::NoGradGuard no_grad;
  at::Tensor out = at::empty({kernels::table().packed_size(k, n)}, at::kFloat);
  kernels::table().pack(b, k, n, row, col, static_cast<float>(scale), out.data_ptr<float>());
  return out;
}

std::vector<float> spread_gate(const at::Tensor& gate, const std::vector<std::int64_t>& offsets) {
  const at::Tensor values = gate.detach().to(at::kFloat).contiguous();
  std::vector<float> rows(static_cast<std::size_t>(offsets.back()));
  for (std::size_t s = 0; s + 1 < offsets.size(); ++s)
    std::fill(rows.begin() + offsets[s], rows.begin() + offsets[s + 1], floats(values)[s]);
  return rows;
}

LowRankTerm make_term(const LowRankDelta& delta, std::int64_t columns, const GroupDeltas& deltas,
                      const BlockContext& context) {
  LowRankTerm term{
      .layout = delta.layout, .scale = delta.scale, .slice = delta.slice.detach().contiguous(), .gate = delta.gate};
  term.version = static_cast<std::uint32_t>(delta.slice._version());
  const LowRankLayout& layout = *delta.layout;
  std::int64_t up = layout.rank * layout.in * static_cast<std::int64_t>(layout.parts.size());
  for (std::size_t p = 0; p < layout.parts.size(); ++p) {
    const auto& part = layout.parts[p];
    const std::int64_t column = part.first_column - deltas.first_column;
    if (column >= 0 && column + part.out <= columns) {
      if (term.parts.empty()) term.down = static_cast<std::int64_t>(p) * layout.rank * layout.in;
      term.parts.push_back({.column = column, .out = part.out, .up = up});
    }
    up += part.out * layout.rank;
  }
  if (context.dropout != nullptr && delta.dropout > 0) {
    term.dropout = delta.dropout;
    term.seed = context.dropout->next();
  }
  if (delta.gate.defined()) {
    MNEME_CHECK(deltas.offsets != nullptr && delta.gate.dim() == 1 &&
                    delta.gate.size(0) + 1 == static_cast<std::int64_t>(deltas.offsets->size()),
                "An adapter's gate has {} values; expected one per sequence of the batch", delta.gate.numel());
    term.row_gate = spread_gate(delta.gate, *deltas.offsets);
  }
  return term;
}

/// dropout(x) of all rows, or x itself.
at::Tensor dropped(const at::Tensor& x, const LowRankTerm& term) {
  if (term.dropout == 0) return x;
  const c10::NoGradGuard no_grad;
  at::Tensor out = at::empty_like(x);
  for_rows(x.size(0), 10.0 * static_cast<double>(x.size(1)), [&](std::int64_t first, std::int64_t last) {
    kernels::table().dropout({.first = first * x.size(1),
                              .count = (last - first) * x.size(1),
                              .seed = term.seed,
                              .p = term.dropout,
                              .x = x.const_data_ptr(),
                              .out = out.data_ptr()});
  });
  return out;
}

/// Rows [first, last) of a matrix times the rows' gates, into `out` [last - first, stride].
void gated(const float* in, const LowRankTerm& term, std::int64_t first, std::int64_t last, float* out) {
  const std::int64_t stride = term.stride();
  for (std::int64_t i = first; i < last; ++i)
    for (std::int64_t j = 0; j < stride; ++j)
      out[(i - first) * stride + j] = in[i * stride + j] * term.row_gate[static_cast<std::size_t>(i)];
}

/// The whole matrix times the gates, or the matrix itself.
at::Tensor gated(const at::Tensor& in, const LowRankTerm& term) {
  if (term.row_gate.empty()) return in;
  at::Tensor out = new_matrix(in.size(0), in.size(1));
  gated(floats(in), term, 0, in.size(0), out.data_ptr<float>());
  return out;
}

/// Runs each product in pieces of columns over the threads.
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
  for_rows(count, work / static_cast<double>(std::max<std::int64_t>(count, 1)),
           [&](std::int64_t first, std::int64_t last) {
             for (std::int64_t i = first; i < last; ++i) kernels::table().gemm(pieces[static_cast<std::size_t>(i)]);
           });
}

/// Edges: x, weight, bias, then slice and gate of each term.
class FusedLinearNode final : public BackwardNode {
 public:
  enum Edge : std::size_t { kX, kWeight, kBias, kFirstTerm };
  std::string name() const override { return "GroupLinearBackward"; }

  at::Tensor x, weight;  ///< x undefined if nothing needs it
  std::shared_ptr<const PackedWeight> packed;
  std::vector<LowRankTerm> terms;
  std::vector<at::Tensor> slices;          ///< as given, to see that nobody wrote to them meanwhile
  std::vector<std::int64_t> gate_offsets;  ///< sequences of the rows

 protected:
  Gradients backward(Gradients&& gradients) override {
    Gradients result(kFirstTerm + 2 * terms.size());
    if (!gradients[0].defined()) return result;
    const at::Tensor dy = gradients[0].contiguous();
    for (std::size_t t = 0; t < terms.size(); ++t)
      MNEME_CHECK(slices[t]._version() == terms[t].version,
                  "An adapter's parameters were changed between the forward and the backward pass");
    std::vector<at::Tensor> du;
    for (LowRankTerm& term : terms) {
      prepare(term);
      du.push_back(new_matrix(dy.size(0), term.stride()));
    }
    if (needs(kX)) result[kX] = new_matrix(dy.size(0), weight.size(1));
    run_rows(dy, du, result[kX]);
    for (std::size_t t = 0; t < terms.size(); ++t) {
      if (needs(gate_edge(t))) result[gate_edge(t)] = gate_gradient(terms[t], du[t]);
      finish_term(t, dy, du[t], result);
    }
    if (needs(kWeight)) {
      result[kWeight] = new_matrix(weight.size(0), weight.size(1));
      run_products({{.m = weight.size(0),
                     .n = weight.size(1),
                     .k = dy.size(0),
                     .a = floats(dy),
                     .a_row = 1,
                     .a_col = weight.size(0),
                     .b = floats(x),
                     .ldb = weight.size(1),
                     .c = result[kWeight].data_ptr<float>(),
                     .ldc = weight.size(1)}});
    }
    if (needs(kBias)) result[kBias] = dy.sum(0);
    return result;
  }

  void release() override {
    x = at::Tensor();
    terms.clear();
    slices.clear();
  }

 private:
  static std::size_t slice_edge(std::size_t term) { return kFirstTerm + 2 * term; }
  static std::size_t gate_edge(std::size_t term) { return kFirstTerm + 2 * term + 1; }

  static void prepare(LowRankTerm& term) {
    for (auto& part : term.parts)
      part.packed_down = pack(term.b(part), part.out, term.rank(), term.rank(), 1, term.scale);
  }

  /// du = dy · scale·B of every term, and dx = dy W + gate·du A.
  void run_rows(const at::Tensor& dy, std::vector<at::Tensor>& du, at::Tensor& dx) const {
    const std::int64_t out = weight.size(0), in = weight.size(1);
    const double work = 2.0 * static_cast<double>(out) * (dx.defined() ? static_cast<double>(in) : 16.0);
    for_rows(dy.size(0), work, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t row = first; row < last; row += kChunk) {
        const std::int64_t rows = std::min(kChunk, last - row);
        for (std::size_t t = 0; t < terms.size(); ++t) run_down(terms[t], dy, row, rows, du[t].data_ptr<float>());
        if (!dx.defined()) continue;
        float* c = dx.data_ptr<float>() + row * in;
        kernels::table().gemm({.m = rows,
                               .n = in,
                               .k = out,
                               .a = floats(dy) + row * out,
                               .a_row = out,
                               .b = packed->backward(),
                               .c = c,
                               .ldc = in});
        for (std::size_t t = 0; t < terms.size(); ++t)
          if (terms[t].dropout == 0) add_input_gradient(terms[t], du[t], row, rows, c);
      }
    });
    for (std::size_t t = 0; dx.defined() && t < terms.size(); ++t)
      if (terms[t].dropout > 0) add_dropped_gradient(terms[t], du[t], dx);
  }

  void run_down(const LowRankTerm& term, const at::Tensor& dy, std::int64_t row, std::int64_t rows, float* du) const {
    const std::int64_t out = weight.size(0);
    for (std::size_t p = 0; p < term.parts.size(); ++p) {
      const auto& part = term.parts[p];
      kernels::table().gemm({.m = rows,
                             .n = term.rank(),
                             .k = part.out,
                             .a = floats(dy) + row * out + part.column,
                             .a_row = out,
                             .b = floats(part.packed_down),
                             .c = du + row * term.stride() + static_cast<std::int64_t>(p) * term.rank(),
                             .ldc = term.stride(),
                             .pad_columns = true});
    }
  }

  /// c += gate·du A for some rows.
  static void add_input_gradient(const LowRankTerm& term, const at::Tensor& du, std::int64_t row, std::int64_t rows,
                                 float* c) {
    const std::int64_t stride = term.stride(), in = term.layout->in;
    const float* left = floats(du) + row * stride;
    at::Tensor scaled;
    if (!term.row_gate.empty()) {
      scaled = new_matrix(rows, stride);
      gated(floats(du), term, row, row + rows, scaled.data_ptr<float>());
      left = floats(scaled);
    }
    kernels::table().gemm({.m = rows,
                           .n = in,
                           .k = term.columns(),
                           .a = left,
                           .a_row = stride,
                           .b = term.a(),
                           .ldb = in,
                           .c = c,
                           .ldc = in,
                           .accumulate = true});
  }

  /// dx += mask · (gate·du A).
  static void add_dropped_gradient(const LowRankTerm& term, const at::Tensor& du, at::Tensor& dx) {
    const at::Tensor through = at::zeros_like(dx);
    for_rows(dx.size(0), 2.0 * static_cast<double>(dx.size(1) * term.columns()),
             [&](std::int64_t first, std::int64_t last) {
               add_input_gradient(term, du, first, last - first, through.data_ptr<float>() + first * dx.size(1));
               kernels::table().dropout({.first = first * dx.size(1),
                                         .count = (last - first) * dx.size(1),
                                         .seed = term.seed,
                                         .p = term.dropout,
                                         .x = through.const_data_ptr(),
                                         .out = dx.data_ptr(),
                                         .accumulate = true});
             });
  }

  /// d gate[s] = Σ over the sequence's rows of ⟨u, du⟩; du carries the scale already.
  at::Tensor gate_gradient(const LowRankTerm& term, const at::Tensor& du) const {
    at::Tensor result = at::zeros({static_cast<std::int64_t>(gate_offsets.size()) - 1}, at::kFloat);
    for (std::size_t s = 0; s + 1 < gate_offsets.size(); ++s) {
      double total = 0;
      for (std::int64_t i = gate_offsets[s]; i < gate_offsets[s + 1]; ++i)
        for (std::int64_t j = 0; j < term.columns(); ++j)
          total += static_cast<double>(floats(term.u)[i * term.stride() + j] * floats(du)[i * term.stride() + j]);
      result.data_ptr<float>()[s] = static_cast<float>(total);
    }
    return result.to(term.gate.scalar_type());
  }

  /// The gradient of one slice: dA = (gate·du)ᵀ dropout(x), dB = scale · dyᵀ (gate·u).
  void finish_term(std::size_t t, const at::Tensor& dy, const at::Tensor& du, Gradients& result) const {
    if (!needs(slice_edge(t))) return;
    const LowRankTerm& term = terms[t];
    const std::int64_t rank = term.rank(), in = term.layout->in, rows = dy.size(0), stride = term.stride();
    const bool whole = term.parts.size() == term.layout->parts.size();
    at::Tensor gradient = whole ? at::empty_like(term.slice) : at::zeros_like(term.slice);
    float* out = gradient.data_ptr<float>();
    const at::Tensor left = gated(du, term), u = gated(term.u, term), dropped_x = dropped(x, term);
    std::vector<kernels::Gemm> products{{.m = term.columns(),
                                         .n = in,
                                         .k = rows,
                                         .a = floats(left),
                                         .a_row = 1,
                                         .a_col = stride,
                                         .b = floats(dropped_x),
                                         .ldb = in,
                                         .c = out + term.down,
                                         .ldc = in}};
    std::vector<at::Tensor> ups;
    for (std::size_t p = 0; p < term.parts.size(); ++p) {
      const auto& part = term.parts[p];
      ups.push_back(new_matrix(rank, part.out));
      products.push_back({.m = rank,
                          .n = part.out,
                          .k = rows,
                          .a = floats(u) + static_cast<std::int64_t>(p) * rank,
                          .a_row = 1,
                          .a_col = stride,
                          .b = floats(dy) + part.column,
                          .ldb = dy.size(1),
                          .c = ups.back().data_ptr<float>(),
                          .ldc = part.out});
    }
    run_products(products);
    const auto scale = static_cast<float>(term.scale);
    for (std::size_t p = 0; p < term.parts.size(); ++p) {
      const auto& part = term.parts[p];
      for (std::int64_t j = 0; j < part.out; ++j)
        for (std::int64_t r = 0; r < rank; ++r) out[part.up + j * rank + r] = scale * floats(ups[p])[r * part.out + j];
    }
    result[slice_edge(t)] = gradient;
  }
};

/// u of every term, y = x Wᵀ + Σ gate·u·(scale·Bᵀ), chunk by chunk.
void run_forward(const at::Tensor& x, const PackedWeight& packed, std::vector<LowRankTerm>& terms, at::Tensor& y) {
  const std::int64_t in = x.size(1), out = y.size(1);
  std::vector<at::Tensor> inputs, downs;
  for (LowRankTerm& term : terms) {
    inputs.push_back(dropped(x, term));
    downs.push_back(pack(term.a(), in, term.columns(), 1, in, 1));
    term.u = new_matrix(x.size(0), term.stride());
    for (auto& part : term.parts)
      part.packed_up = pack(term.b(part), term.rank(), part.out, 1, term.rank(), term.scale);
  }
  const auto run_term = [&](std::size_t t, std::int64_t row, std::int64_t rows) {
    const LowRankTerm& term = terms[t];
    const std::int64_t stride = term.stride();
    const float* u = floats(term.u) + row * stride;
    kernels::table().gemm({.m = rows,
                           .n = term.columns(),
                           .k = in,
                           .a = floats(inputs[t]) + row * in,
                           .a_row = in,
                           .b = floats(downs[t]),
                           .c = term.u.data_ptr<float>() + row * stride,
                           .ldc = stride,
                           .pad_columns = true});
    at::Tensor scaled;
    if (!term.row_gate.empty()) {
      scaled = new_matrix(rows, stride);
      gated(floats(term.u), term, row, row + rows, scaled.data_ptr<float>());
      u = floats(scaled);
    }
    for (std::size_t p = 0; p < term.parts.size(); ++p) {
      const auto& part = term.parts[p];
      kernels::table().gemm({.m = rows,
                             .n = part.out,
                             .k = term.rank(),
                             .a = u + static_cast<std::int64_t>(p) * term.rank(),
                             .a_row = stride,
                             .b = floats(part.packed_up),
                             .c = y.data_ptr<float>() + row * out + part.column,
                             .ldc = out,
                             .accumulate = true});
    }
  };
  for_rows(x.size(0), 2.0 * static_cast<double>(in * out), [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t row = first; row < last; row += kChunk) {
      const std::int64_t rows = std::min(kChunk, last - row);
      kernels::table().gemm({.m = rows,
                             .n = out,
                             .k = in,
                             .a = floats(x) + row * in,
                             .a_row = in,
                             .b = packed.forward(),
                             .c = y.data_ptr<float>() + row * out,
                             .ldc = out});
      for (std::size_t t = 0; t < terms.size(); ++t) run_term(t, row, rows);
    }
  });
}

}  // namespace

bool fused_linear_takes(const GroupWeight& weight, const at::Tensor& x, const GroupDeltas& deltas) {
  const auto takes = [](const at::Tensor& t) { return t.device().is_cpu() && t.scalar_type() == at::kFloat; };
  return takes(x) && takes(weight.weight) &&
         std::all_of(deltas.low_rank.begin(), deltas.low_rank.end(),
                     [&](const LowRankDelta& delta) { return takes(delta.slice); });
}

at::Tensor fused_linear(const GroupWeight& weight, const at::Tensor& x_given, const GroupDeltas& deltas,
                        const BlockContext& context) {
  const at::Tensor x = x_given.contiguous();
  const std::int64_t out = weight.out();
  std::vector<LowRankTerm> terms;
  torch::autograd::edge_list edges = torch::autograd::collect_next_edges(x, weight.weight, weight.bias);
  bool trains_terms = false;
  std::vector<at::Tensor> slices;
  for (const LowRankDelta& delta : deltas.low_rank) {
    LowRankTerm term = make_term(delta, out, deltas, context);
    if (term.parts.empty()) continue;
    terms.push_back(std::move(term));
    slices.push_back(delta.slice);
    trains_terms = trains_terms || records(delta.slice, delta.gate);
    for (auto& edge : torch::autograd::collect_next_edges(delta.slice, delta.gate)) edges.push_back(std::move(edge));
  }
  const auto packed = weight.packed ? weight.packed : std::make_shared<const PackedWeight>(weight.weight.detach());
  at::Tensor y = new_matrix(x.size(0), out);
  run_forward(x, *packed, terms, y);
  if (weight.bias.defined()) {
    const c10::NoGradGuard no_grad;
    y.add_(weight.bias);
  }
  const bool trains_weight = records(weight.weight, weight.bias);
  if (!records(x) && !trains_terms && !trains_weight) return y;
  auto node = make_node<FusedLinearNode>(std::move(edges));
  if (trains_terms || trains_weight) node->x = x.detach();
  node->weight = weight.weight.detach();
  node->packed = packed;
  for (const LowRankTerm& term : terms)
    if (!term.row_gate.empty()) node->gate_offsets = *deltas.offsets;
  node->terms = std::move(terms);
  node->slices = std::move(slices);
  torch::autograd::set_history(y, node);
  return y;
}

}  // namespace mneme::model::blocks
