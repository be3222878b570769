#include "core/model/blocks/device_attention.h"

#include <ATen/ATen.h>

#include <limits>
#include <optional>
#include <vector>

#include "core/base/error.h"
#include "core/model/device.h"

namespace mneme::model::blocks {
namespace {

using Values = std::vector<std::int64_t>;

/// Rows of a packed axis among sequences padded to `length`.
Values padded_rows(const Values& offsets, std::int64_t length) {
  Values rows;
  for (std::size_t s = 0; s + 1 < offsets.size(); ++s)
    for (std::int64_t r = offsets[s]; r < offsets[s + 1]; ++r)
      rows.push_back(static_cast<std::int64_t>(s) * length + r - offsets[s]);
  return rows;
}

Values query_positions(const AttentionSpan& span) {
  Values positions;
  for (std::int64_t s = 0; s < span.sequences(); ++s)
    for (std::int64_t r = span.query_offsets[static_cast<std::size_t>(s)];
         r < span.query_offsets[static_cast<std::size_t>(s) + 1]; ++r)
      positions.push_back(span.position(s, r));
  return positions;
}

Values key_positions(const Values& offsets) {
  Values positions;
  for (std::size_t s = 0; s + 1 < offsets.size(); ++s)
    for (std::int64_t i = 0; i < offsets[s + 1] - offsets[s]; ++i) positions.push_back(i);
  return positions;
}

/// Whether flash attention over packed sequences takes this.
bool takes_flash(const AttentionSpec& spec, at::ScalarType type) {
  return type == at::kBFloat16 && !spec.bias.defined() && spec.span.query_positions.empty() && spec.head_dim % 8 == 0 &&
         spec.head_dim <= 256;
}

/// Of a causal span the last query of each sequence sees all of its keys, as here.
at::Tensor flash(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionSpec& spec,
                 const SpanTables& tables) {
  const std::optional<std::int64_t> none;
  const auto left = spec.causal && spec.window > 0 ? std::optional(spec.window - 1) : none;
  const auto right = left ? std::optional<std::int64_t>(0) : none;
  return std::get<0>(at::_flash_attention_forward(
      q, k, v, tables.query_offsets, tables.key_offsets, tables.longest_query, tables.longest_key, /*dropout_p=*/0,
      /*is_causal=*/spec.causal && !left, /*return_debug_mask=*/false, spec.scale, left, right));
}

/// What is added to the scores, or a mask where there is no bias: [B, heads or 1, queries, keys].
at::Tensor score_mask(const AttentionSpec& spec, const SpanTables& tables, at::ScalarType type) {
  if (!spec.bias.defined()) return tables.visible;
  const std::int64_t reach = spec.bias_reach();
  const at::Tensor columns = (tables.distances + (reach - 1)).clamp(0, 2 * reach - 2).flatten();
  std::vector<std::int64_t> shape = tables.distances.sizes().vec();
  shape.insert(shape.begin(), spec.bias.size(0));
  return spec.bias.index_select(1, columns)
      .view(shape)
      .transpose(0, 1)
      .to(type)
      .masked_fill(tables.visible.logical_not(), -std::numeric_limits<double>::infinity());
}

at::Tensor padded(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionSpec& spec,
                  const SpanTables& tables) {
  const std::int64_t sequences = spec.span.sequences();
  const auto spread = [&](const at::Tensor& t, const at::Tensor& rows, std::int64_t length) {
    return at::zeros({sequences * length, t.size(1), t.size(2)}, t.options().requires_grad(false))
        .index_copy(0, rows, t)
        .view({sequences, length, t.size(1), t.size(2)})
        .transpose(1, 2);
  };
  const at::Tensor out = at::scaled_dot_product_attention(
      spread(q, tables.query_rows, tables.longest_query), spread(k, tables.key_rows, tables.longest_key),
      spread(v, tables.key_rows, tables.longest_key), score_mask(spec, tables, q.scalar_type()), /*dropout_p=*/0,
      /*is_causal=*/false, spec.scale, /*enable_gqa=*/spec.heads != spec.key_value_heads);
  return out.transpose(1, 2)
      .reshape({sequences * tables.longest_query, spec.heads, spec.head_dim})
      .index_select(0, tables.query_rows);
}

void add_padded_tables(SpanTables& made, const AttentionSpec& spec, at::Device device) {
  const AttentionSpan& span = spec.span;
  made.query_rows = index_on(padded_rows(span.query_offsets, made.longest_query), device);
  made.key_rows = index_on(padded_rows(span.key_offsets, made.longest_key), device);
  // Rows beyond a sequence's end stand at its first key, so that every row sees one.
  const std::int64_t sequences = span.sequences();
  const at::Tensor places = at::zeros({sequences * made.longest_query}, made.query_positions.options())
                                .index_copy(0, made.query_rows, made.query_positions)
                                .view({sequences, made.longest_query, 1});
  const at::Tensor keys = at::arange(made.longest_key, places.options());
  made.distances = keys - places;
  const at::Tensor lengths = made.key_offsets.diff().view({sequences, 1, 1});
  at::Tensor visible = (keys < lengths).expand_as(made.distances);
  if (spec.causal) visible = visible.logical_and(made.distances <= 0);
  if (spec.causal && spec.window > 0) visible = visible.logical_and(made.distances > -spec.window);
  made.visible = visible.unsqueeze(1);
}

}  // namespace

void put_tables(AttentionSpec& spec, const at::Tensor& weight) {
  const at::Device device = weight.device();
  if (device.is_cpu()) return;
  const AttentionSpan& span = spec.span;
  SpanTables made;
  made.query_offsets = index_on(span.query_offsets, device).to(at::kInt);
  made.key_offsets = index_on(span.key_offsets, device).to(at::kInt);
  made.query_positions = index_on(query_positions(span), device);
  made.key_positions = index_on(key_positions(span.key_offsets), device);
  made.longest_query = longest_sequence(span.query_offsets);
  made.longest_key = longest_sequence(span.key_offsets);
  made.flash = takes_flash(spec, weight.scalar_type());
  if (!made.flash) add_padded_tables(made, spec, device);
  spec.tables = std::make_shared<const SpanTables>(std::move(made));
}

at::Tensor device_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionSpec& spec) {
  if (q.size(0) == 0) return q.reshape({0, spec.heads * spec.head_dim});
  MNEME_CHECK(spec.tables != nullptr, "Attention on {} needs the tables of its span", q.device().str());
  const SpanTables& tables = *spec.tables;
  const auto turned = [&](const at::Tensor& t, const at::Tensor& positions) {
    return spec.rope ? rotated(t, positions, *spec.rope) : t;
  };
  const at::Tensor queries = turned(q, tables.query_positions), keys = turned(k, tables.key_positions);
  const at::Tensor out = tables.flash ? flash(queries, keys, v, spec, tables) : padded(queries, keys, v, spec, tables);
  return out.reshape({q.size(0), spec.heads * spec.head_dim});
}

}  // namespace mneme::model::blocks
