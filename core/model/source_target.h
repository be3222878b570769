#pragma once

#include <cstdint>

#include "core/model/batch.h"

namespace mneme::model {

/// What an encoder-decoder makes of a batch: the encoder reads each sequence up to its first label, the decoder a start
/// token and the labels but for the last.
struct SourceTarget {
  PackedBatch source{};  ///< without labels
  PackedBatch target{};  ///< every row of a sequence with labels predicts one; without labels: the start token alone
};

/// Throws Error if a sequence's labels are not its last tokens.
SourceTarget split_source_target(const PackedBatch& batch, std::int64_t start_token);

}  // namespace mneme::model
