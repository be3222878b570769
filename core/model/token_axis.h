#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/model/batch.h"
#include "core/model/blocks/attention.h"
#include "core/model/transformer.h"
#include "core/model/weights.h"

namespace mneme::model {

/// The rows that the layers see: the tokens of a batch, and before each sequence its soft prompt if there is one.
class TokenAxis {
 public:
  /// \param prefix [B, P, D] or undefined
  TokenAxis(const PackedBatch& batch, const at::Tensor& prefix);

  const std::vector<std::int64_t>& offsets() const { return offsets_; }
  const std::vector<std::int64_t>& token_offsets() const { return batch_.offsets; }  ///< without soft prompts
  std::int64_t rows() const { return offsets_.back(); }
  std::int64_t prefix_length() const { return prefix_length_; }

  /// Embeddings and soft prompts [rows, D].
  at::Tensor embed(const ModelWeights& weights) const;

  /// x without the rows of soft prompts: [N, …].
  at::Tensor without_prefix(const at::Tensor& x) const;

  /// Some rows of the axis, ascending, and where each sequence's start.
  struct Selection {
    at::Tensor rows{};  ///< int64 [R]; undefined: all
    std::vector<std::int64_t> offsets{};
  };
  Selection select(RowsNeeded needed) const;

  /// Span in which each row attends to its sequence up to itself.
  blocks::AttentionSpan full_span() const;
  /// Span in which just the selected rows are queries.
  blocks::AttentionSpan span_of(const Selection& selection) const;

 private:
  std::vector<std::int64_t> token_rows() const;

  const PackedBatch& batch_;
  at::Tensor prefix_;
  std::int64_t prefix_length_ = 0;
  std::vector<std::int64_t> offsets_;
};

}  // namespace mneme::model
