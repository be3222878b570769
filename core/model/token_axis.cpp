#include "core/model/token_axis.h"

#include <ATen/ATen.h>

#include "core/base/error.h"
#include "core/model/device.h"

namespace mneme::model {

TokenAxis::TokenAxis(const PackedBatch& batch, const at::Tensor& prefix)
    : batch_(batch), prefix_(prefix), offsets_(batch.offsets) {
  if (!prefix.defined()) return;
  prefix_length_ = prefix.size(1);
  for (std::size_t s = 0; s < offsets_.size(); ++s) offsets_[s] += prefix_length_ * static_cast<std::int64_t>(s);
}

at::Tensor TokenAxis::embed(const ModelWeights& weights) const {
  const at::Tensor tokens = at::embedding(weights.embedding, on_device(batch_.ids, weights.device));
  if (prefix_length_ == 0) return tokens;
  std::vector<at::Tensor> pieces;
  for (std::int64_t s = 0; s < batch_.sequences(); ++s) {
    const auto i = static_cast<std::size_t>(s);
    pieces.push_back(prefix_.select(0, s).to(tokens.scalar_type()));
    pieces.push_back(tokens.narrow(0, batch_.offsets[i], batch_.offsets[i + 1] - batch_.offsets[i]));
  }
  return at::cat(pieces, 0);
}

std::vector<std::int64_t> TokenAxis::token_rows() const {
  std::vector<std::int64_t> rows;
  rows.reserve(static_cast<std::size_t>(batch_.tokens()));
  for (std::size_t s = 0; s + 1 < offsets_.size(); ++s)
    for (std::int64_t r = offsets_[s] + prefix_length_; r < offsets_[s + 1]; ++r) rows.push_back(r);
  return rows;
}

at::Tensor TokenAxis::without_prefix(const at::Tensor& x) const {
  return prefix_length_ == 0 ? x : x.index_select(0, index_on(token_rows(), x.device()));
}

TokenAxis::Selection TokenAxis::select(RowsNeeded needed) const {
  if (needed == RowsNeeded::kAll)
    return {.rows = prefix_length_ == 0 ? at::Tensor() : at::tensor(token_rows(), at::kLong),
            .offsets = batch_.offsets};
  std::vector<std::int64_t> rows;
  if (needed == RowsNeeded::kLabels) {
    // Rows are ascending and distinct: as many as tokens are all of them.
    if (prefix_length_ == 0 && batch_.label_count() == batch_.tokens()) return {.rows = {}, .offsets = batch_.offsets};
    if (prefix_length_ == 0) return {.rows = batch_.label_rows, .offsets = batch_.label_offsets};
    const at::Tensor& labels = batch_.label_rows;
    for (std::int64_t s = 0; s < batch_.sequences(); ++s) {
      const auto i = static_cast<std::size_t>(s);
      for (std::int64_t m = batch_.label_offsets[i]; m < batch_.label_offsets[i + 1]; ++m)
        rows.push_back(labels.const_data_ptr<std::int64_t>()[m] + prefix_length_ * (s + 1));
    }
    return {.rows = at::tensor(rows, at::kLong), .offsets = batch_.label_offsets};
  }
  Selection last{.rows = {}, .offsets = {0}};
  for (std::size_t s = 0; s + 1 < offsets_.size(); ++s) {
    rows.push_back(offsets_[s + 1] - 1);
    last.offsets.push_back(static_cast<std::int64_t>(s) + 1);
  }
  last.rows = at::tensor(rows, at::kLong);
  return last;
}

blocks::AttentionSpan TokenAxis::full_span() const {
  return {.query_offsets = offsets_, .key_offsets = offsets_, .query_positions = {}};
}

blocks::AttentionSpan TokenAxis::span_of(const Selection& selection) const {
  blocks::AttentionSpan span{.query_offsets = selection.offsets, .key_offsets = offsets_, .query_positions = {}};
  const std::int64_t* values = selection.rows.const_data_ptr<std::int64_t>();
  for (std::size_t s = 0; s + 1 < offsets_.size(); ++s)
    for (std::int64_t i = selection.offsets[s]; i < selection.offsets[s + 1]; ++i)
      span.query_positions.push_back(values[i] - offsets_[s]);
  return span;
}

}  // namespace mneme::model
