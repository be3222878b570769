#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/model/key_value_cache.h"
#include "core/model/layer_stack.h"

namespace mneme::model {

/// Decoding of a fixed number of sequences ("slots"), a token of each at a time, against a key-value cache. An
/// encoder-decoder's slots also keep the keys and values of the encoder's output, computed once. Without gradients.
class SlotDecoder {
 public:
  struct Size {
    std::int64_t slots;
    std::int64_t prompt;      ///< tokens of the longest prompt, soft prompts included
    std::int64_t new_tokens;  ///< that are fed behind a prompt at most
  };
  SlotDecoder(const ModelWeights& weights, const Size& size, const blocks::BlockContext& context);

  /// Reads prompts into slots. \param adapters of these prompts \return logits [n, V] of the first new token
  at::Tensor start(std::span<const std::vector<std::int32_t>> prompts, const ActiveAdapters& adapters,
                   std::span<const std::int64_t> slots);

  /// Feeds one token to each of the slots, ascending. \param adapters of these slots \return logits [n, V] of the next
  at::Tensor step(std::span<const std::int64_t> tokens, const ActiveAdapters& adapters,
                  std::span<const std::int64_t> slots);

  /// Slot i becomes what sources[i] was, for all slots.
  void reorder(std::span<const std::int64_t> sources);

 private:
  at::Tensor start_decoder(std::span<const std::vector<std::int32_t>> prompts, const ActiveAdapters& adapters,
                           std::span<const std::int64_t> slots);
  void encode(std::span<const std::vector<std::int32_t>> prompts, const ActiveAdapters& adapters,
              std::span<const std::int64_t> slots);
  at::Tensor run_decoder(const at::Tensor& hidden, StackRequest request) const;

  const ModelWeights& weights_;
  blocks::BlockContext context_;
  KeyValueCache cache_;
  std::optional<KeyValueCache> memory_;
  std::vector<std::int64_t> positions_;       ///< of the token that is fed next
  std::vector<std::int64_t> memory_lengths_;  ///< of the encoder's output
};

}  // namespace mneme::model
