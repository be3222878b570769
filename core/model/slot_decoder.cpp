#include "core/model/slot_decoder.h"

#include <ATen/ATen.h>

#include <numeric>

#include "core/model/batch.h"
#include "core/model/device.h"
#include "core/model/token_axis.h"

namespace mneme::model {
namespace {

/// Packed attention that also fills the cache.
class PrefillAttention final : public PackedAttention {
 public:
  PrefillAttention(PackedAttention packed, KeyValueCache& cache, const TokenAxis& axis,
                   std::span<const std::int64_t> slots, std::int64_t query_columns)
      : PackedAttention(std::move(packed)), cache_(cache), axis_(axis), slots_(slots), query_columns_(query_columns) {}

  at::Tensor attend(std::int64_t layer, const at::Tensor& qkv, const at::Tensor& kv) override {
    cache_.store(layer, kv.defined() ? kv : qkv, kv.defined() ? 0 : query_columns_, axis_.offsets(), slots_);
    return PackedAttention::attend(layer, qkv, kv);
  }

 private:
  KeyValueCache& cache_;
  const TokenAxis& axis_;
  std::span<const std::int64_t> slots_;
  std::int64_t query_columns_;
};

/// One token per slot against the caches.
class DecodeAttention final : public AttentionStep {
 public:
  struct Rows {
    std::span<const std::int64_t> slots, positions, last_memory;  ///< last_memory: last position of the memory
  };
  DecodeAttention(KeyValueCache& cache, KeyValueCache* memory, const Rows& rows)
      : cache_(cache), memory_(memory), rows_(rows) {}

  at::Tensor attend(std::int64_t layer, const at::Tensor& qkv, const at::Tensor&) override {
    return cache_.attend(layer, qkv, rows_.slots, rows_.positions);
  }
  at::Tensor attend_memory(std::int64_t layer, const at::Tensor& q, const at::Tensor&) override {
    return memory_->attend(layer, q, rows_.slots, rows_.last_memory);
  }

 private:
  KeyValueCache& cache_;
  KeyValueCache* memory_;
  Rows rows_;
};

}  // namespace

SlotDecoder::SlotDecoder(const ModelWeights& weights, const Size& size, const blocks::BlockContext& context)
    : weights_(weights),
      context_(context),
      cache_(weights, KeyValueCache::Holds::kTokens,
             {size.slots, weights.config.encoder_decoder() ? 1 + size.new_tokens : size.prompt + size.new_tokens},
             context),
      positions_(static_cast<std::size_t>(size.slots)),
      memory_lengths_(static_cast<std::size_t>(size.slots)) {
  if (weights.config.encoder_decoder())
    memory_.emplace(weights, KeyValueCache::Holds::kMemory, KeyValueCache::Size{size.slots, size.prompt}, context);
}

at::Tensor SlotDecoder::start(std::span<const std::vector<std::int32_t>> prompts, const ActiveAdapters& adapters,
                              std::span<const std::int64_t> slots) {
  if (!memory_) return start_decoder(prompts, adapters, slots);
  encode(prompts, adapters, slots);
  for (const std::int64_t slot : slots) positions_[static_cast<std::size_t>(slot)] = 0;
  ActiveAdapters without_prefix = adapters;
  without_prefix.prefix = at::Tensor();
  return step(std::vector<std::int64_t>(slots.size(), weights_.config.decoder_start_token_id), without_prefix, slots);
}

at::Tensor SlotDecoder::start_decoder(std::span<const std::vector<std::int32_t>> prompts,
                                      const ActiveAdapters& adapters, std::span<const std::int64_t> slots) {
  const PackedBatch batch = pack_prompts(prompts);
  const TokenAxis axis(batch, adapters.prefix);
  const TokenAxis::Selection last = axis.select(RowsNeeded::kLast);
  const StackWeights& stack = weights_.decoder();
  PrefillAttention attention(PackedAttention({.full = attention_spec(weights_, stack, axis.full_span()),
                                              .pruned = attention_spec(weights_, stack, axis.span_of(last))},
                                             context_),
                             cache_, axis, slots, weights_.config.num_attention_heads * weights_.config.head_dim);
  for (std::size_t i = 0; i < slots.size(); ++i)
    positions_[static_cast<std::size_t>(slots[i])] = axis.offsets()[i + 1] - axis.offsets()[i];
  return run_decoder(axis.embed(weights_), {.adapters = &adapters,
                                            .attention = &attention,
                                            .offsets = axis.offsets(),
                                            .last_rows = last.rows,
                                            .last_offsets = last.offsets});
}

void SlotDecoder::encode(std::span<const std::vector<std::int32_t>> prompts, const ActiveAdapters& adapters,
                         std::span<const std::int64_t> slots) {
  const PackedBatch batch = pack_prompts(prompts);
  const TokenAxis axis(batch, adapters.prefix);
  const Memory memory = run_encoder(weights_, axis, adapters, context_);
  for (std::int64_t layer = weights_.decoder().first_layer; layer < weights_.decoder().end_layer; ++layer)
    memory_->store(layer, memory_keys(weights_, layer, memory, &adapters, context_), 0, memory.offsets, slots);
  for (std::size_t i = 0; i < slots.size(); ++i)
    memory_lengths_[static_cast<std::size_t>(slots[i])] = memory.offsets[i + 1] - memory.offsets[i];
}

at::Tensor SlotDecoder::step(std::span<const std::int64_t> tokens, const ActiveAdapters& adapters,
                             std::span<const std::int64_t> slots) {
  std::vector<std::int64_t> positions, last_memory, offsets(slots.size() + 1);
  std::iota(offsets.begin(), offsets.end(), 0);
  for (const std::int64_t slot : slots) {
    positions.push_back(positions_[static_cast<std::size_t>(slot)]++);
    last_memory.push_back(memory_lengths_[static_cast<std::size_t>(slot)] - 1);
  }
  DecodeAttention attention(cache_, memory_ ? &*memory_ : nullptr, {slots, positions, last_memory});
  const at::Tensor ids = index_on(tokens, weights_.device);
  return run_decoder(at::embedding(weights_.embedding, ids),
                     {.adapters = &adapters, .attention = &attention, .offsets = std::move(offsets)});
}

at::Tensor SlotDecoder::run_decoder(const at::Tensor& hidden, StackRequest request) const {
  const StackWeights& stack = weights_.decoder();
  request.context = context_;
  request.first_layer = stack.first_layer;
  request.end_layer = stack.end_layer;
  const StackOutput out = run_stack(weights_, hidden, request);
  return head_logits(weights_, final_norm(weights_, stack, out, context_), context_).cpu();
}

void SlotDecoder::reorder(std::span<const std::int64_t> sources) {
  cache_.reorder(sources);
  if (memory_) memory_->reorder(sources);
  const auto permuted = [&](const std::vector<std::int64_t>& values) {
    std::vector<std::int64_t> result;
    for (const std::int64_t source : sources) result.push_back(values[static_cast<std::size_t>(source)]);
    return result;
  };
  positions_ = permuted(positions_);
  memory_lengths_ = permuted(memory_lengths_);
}

}  // namespace mneme::model
