#include "core/model/batch.h"

#include <ATen/ATen.h>

#include "core/base/error.h"

namespace mneme::model {
namespace {

at::Tensor to_tensor(const std::vector<std::int64_t>& values) {
  return at::tensor(values, at::TensorOptions().dtype(at::kLong));
}

}  // namespace

PackedBatch pack(std::span<const Sequence> sequences) {
  std::vector<std::int64_t> ids, rows, labels;
  PackedBatch batch{.offsets = {0}, .label_offsets = {0}};
  for (const Sequence& sequence : sequences) {
    const auto length = static_cast<std::int64_t>(sequence.tokens.size());
    MNEME_CHECK(length >= 1, "Sequence {} of a batch has no tokens", batch.offsets.size() - 1);
    MNEME_CHECK(sequence.first_label >= 1 && sequence.first_label <= length,
                "Sequence {} of a batch: its first label is token {}; expected 1 to {}", batch.offsets.size() - 1,
                sequence.first_label, length);
    const std::int64_t fed = sequence.first_label < length ? length - 1 : length;
    const auto start = static_cast<std::int64_t>(ids.size());
    ids.insert(ids.end(), sequence.tokens.begin(), sequence.tokens.begin() + fed);
    for (std::int64_t i = sequence.first_label; i < length; ++i) {
      rows.push_back(start + i - 1);
      labels.push_back(sequence.tokens[static_cast<std::size_t>(i)]);
    }
    batch.offsets.push_back(static_cast<std::int64_t>(ids.size()));
    batch.label_offsets.push_back(static_cast<std::int64_t>(labels.size()));
  }
  batch.ids = to_tensor(ids);
  batch.label_rows = to_tensor(rows);
  batch.labels = to_tensor(labels);
  return batch;
}

PackedBatch pack_prompts(std::span<const std::vector<std::int32_t>> prompts) {
  std::vector<Sequence> sequences;
  sequences.reserve(prompts.size());
  for (const auto& prompt : prompts)
    sequences.push_back({.tokens = prompt, .first_label = static_cast<std::int64_t>(prompt.size())});
  return pack(sequences);
}

}  // namespace mneme::model
