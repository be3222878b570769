#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

namespace mneme::model {

/// Sequences lie end to end on one token axis; there is no padding. B sequences, N tokens, M labels; on the CPU.
/// The last token of a training sequence is not fed, since nothing reads its output.
struct PackedBatch {
  at::Tensor ids{};                     ///< int64 [N]
  std::vector<std::int64_t> offsets{};  ///< [B+1] starts of the sequences on the token axis, then N
  at::Tensor label_rows{};  ///< int64 [M] rows whose output predicts a label, strictly ascending; may be empty
  at::Tensor labels{};      ///< int64 [M]
  std::vector<std::int64_t> label_offsets{};  ///< [B+1] starts of the sequences' labels, then M

  std::int64_t sequences() const { return static_cast<std::int64_t>(offsets.size()) - 1; }
  std::int64_t tokens() const { return offsets.back(); }
  std::int64_t label_count() const { return label_offsets.back(); }
};

/// One training sequence: labels are all tokens from `first_label` on.
struct Sequence {
  std::span<const std::int32_t> tokens{};  ///< whole sequence: [bos] prompt answer [eos]
  std::int64_t first_label = 1;            ///< index of the first token that is a label, >= 1; tokens.size() for none
};

/// Packs training sequences; each needs at least two tokens when it has labels. Of a sequence without labels all tokens
/// are fed. Throws Error if a sequence is empty or its first label is out of range.
PackedBatch pack(std::span<const Sequence> sequences);

/// Packs prompts for a forward pass without labels: every token is fed.
PackedBatch pack_prompts(std::span<const std::vector<std::int32_t>> prompts);

}  // namespace mneme::model
