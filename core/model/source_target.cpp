#include "core/model/source_target.h"

#include <ATen/ATen.h>

#include "core/base/error.h"

namespace mneme::model {

SourceTarget split_source_target(const PackedBatch& batch, std::int64_t start_token) {
  const std::int64_t* id = batch.ids.const_data_ptr<std::int64_t>();
  const std::int64_t* row = batch.label_rows.const_data_ptr<std::int64_t>();
  const std::int64_t* label = batch.labels.const_data_ptr<std::int64_t>();
  std::vector<std::int64_t> source, target, label_rows;
  SourceTarget split{.source = {.offsets = {0}, .label_offsets = {0}},
                     .target = {.offsets = {0}, .label_offsets = batch.label_offsets}};
  for (std::size_t s = 0; s + 1 < batch.offsets.size(); ++s) {
    const std::int64_t first = batch.label_offsets[s], count = batch.label_offsets[s + 1] - first;
    const std::int64_t end = count == 0 ? batch.offsets[s + 1] : row[first] + 1;
    MNEME_CHECK(count == 0 || (row[first + count - 1] + 1 == batch.offsets[s + 1] &&
                               row[first + count - 1] - row[first] + 1 == count),
                "Sequence {} of a batch: its labels are not its last tokens; an encoder-decoder needs them to be", s);
    source.insert(source.end(), id + batch.offsets[s], id + end);
    for (std::int64_t i = 0; i < count; ++i) label_rows.push_back(static_cast<std::int64_t>(target.size()) + i);
    target.push_back(start_token);
    if (count > 1) target.insert(target.end(), label + first, label + first + count - 1);
    split.source.offsets.push_back(static_cast<std::int64_t>(source.size()));
    split.source.label_offsets.push_back(0);
    split.target.offsets.push_back(static_cast<std::int64_t>(target.size()));
  }
  const auto tensor = [](const std::vector<std::int64_t>& values) { return at::tensor(values, at::kLong); };
  split.source.ids = tensor(source);
  split.source.label_rows = split.source.labels = tensor({});
  split.target.ids = tensor(target);
  split.target.label_rows = tensor(label_rows);
  split.target.labels = batch.labels;
  return split;
}

}  // namespace mneme::model
