#include "core/model/blocks/group_linear.h"

#include <ATen/ATen.h>

#include "core/base/error.h"
#include "core/base/random.h"
#include "core/model/blocks/fused_linear.h"
#include "core/model/device.h"

namespace mneme::model::blocks {
namespace {

/// gate [B] spread over the rows of its sequences: [R, 1].
at::Tensor gate_rows(const at::Tensor& gate, const GroupDeltas& deltas) {
  MNEME_CHECK(deltas.offsets != nullptr, "A gated adapter needs the sequences' offsets");
  const auto& offsets = *deltas.offsets;
  const auto sequences = static_cast<std::int64_t>(offsets.size()) - 1;
  MNEME_CHECK(gate.dim() == 1 && gate.size(0) == sequences,
              "An adapter's gate has {} values; the batch has {} sequences", gate.numel(), sequences);
  std::vector<std::int64_t> owner(static_cast<std::size_t>(offsets.back()));
  for (std::size_t s = 0; s + 1 < offsets.size(); ++s)
    std::fill(owner.begin() + offsets[s], owner.begin() + offsets[s + 1], static_cast<std::int64_t>(s));
  return gate.index_select(0, index_on(owner, gate.device())).unsqueeze(1);
}

/// x with each element zeroed with probability p and the others scaled by 1 / (1 - p).
at::Tensor dropped(const at::Tensor& x, double p, RandomStream& stream) {
  at::Tensor mask = at::empty({x.size(0), x.size(1)}, at::kFloat);
  float* values = mask.data_ptr<float>();
  const float keep = static_cast<float>(1 / (1 - p));
  for (std::int64_t i = 0; i < mask.numel(); ++i) values[i] = stream.uniform() < p ? 0.f : keep;
  return x * on_device(mask, x.device()).to(x.scalar_type());
}

/// Adds `part` to the columns of y from `column` on, without writing into y.
at::Tensor add_columns(const at::Tensor& y, const at::Tensor& part, std::int64_t column) {
  const std::int64_t rest = y.size(1) - column - part.size(1);
  if (column == 0 && rest == 0) return y + part;
  return y + at::constant_pad_nd(part, {column, rest}, 0);
}

at::Tensor low_rank_term(at::Tensor y, const at::Tensor& x, const LowRankDelta& delta, const GroupDeltas& deltas,
                         const BlockContext& context) {
  const LowRankLayout& layout = *delta.layout;
  const bool drop = context.dropout != nullptr && delta.dropout > 0;
  const at::Tensor input = (drop ? dropped(x, delta.dropout, *context.dropout) : x).to(delta.slice.scalar_type());
  std::int64_t b = layout.rank * layout.in * static_cast<std::int64_t>(layout.parts.size());
  for (std::size_t p = 0; p < layout.parts.size(); ++p) {
    const auto& part = layout.parts[p];
    const std::int64_t column = part.first_column - deltas.first_column;
    const std::int64_t a = static_cast<std::int64_t>(p) * layout.rank * layout.in;
    if (column >= 0 && column + part.out <= y.size(1)) {
      const at::Tensor down = delta.slice.narrow(0, a, layout.rank * layout.in).view({layout.rank, layout.in});
      const at::Tensor up = delta.slice.narrow(0, b, part.out * layout.rank).view({part.out, layout.rank});
      at::Tensor u = at::linear(input, down) * delta.scale;
      if (delta.gate.defined()) u = u * gate_rows(delta.gate, deltas).to(u.scalar_type());
      y = add_columns(y, at::linear(u, up), column);
    }
    b += part.out * layout.rank;
  }
  return y;
}

at::Tensor dense_term(const at::Tensor& y, const at::Tensor& x, const ColumnDelta& column, const GroupDeltas& deltas) {
  const WeightDelta& delta = *column.delta;
  const std::int64_t first = column.first_column - deltas.first_column;
  if (first < 0 || first + delta.delta.size(0) > y.size(1)) return y;
  at::Tensor part = at::linear(x.to(delta.delta.scalar_type()), delta.delta) * delta.scale;
  if (delta.gate.defined()) part = part * gate_rows(delta.gate, deltas).to(part.scalar_type());
  return add_columns(y, part, first);
}

at::Tensor reference(const GroupWeight& weight, const at::Tensor& x, const GroupDeltas& deltas,
                     const BlockContext& context) {
  at::Tensor y = at::linear(x, weight.weight, weight.bias);
  for (const LowRankDelta& delta : deltas.low_rank) y = low_rank_term(y, x, delta, deltas, context);
  return y;
}

}  // namespace

at::Tensor group_linear(const GroupWeight& weight, const at::Tensor& x, const GroupDeltas& deltas,
                        const BlockContext& context) {
  const bool fused = context.backend == BlockBackend::kFused && fused_linear_takes(weight, x, deltas);
  at::Tensor y = fused ? fused_linear(weight, x, deltas, context) : reference(weight, x, deltas, context);
  for (const ColumnDelta& delta : deltas.dense) y = dense_term(y, x, delta, deltas);
  return y.to(x.scalar_type());
}

}  // namespace mneme::model::blocks
