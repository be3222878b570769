#include "core/model/generate.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <optional>

#include "core/base/error.h"
#include "core/model/decoder_stack.h"
#include "core/model/job_adapters.h"
#include "core/model/key_value_cache.h"
#include "core/model/token_axis.h"
#include "core/model/transformer_parts.h"

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

/// One token per slot against the cache.
class DecodeAttention final : public AttentionStep {
 public:
  DecodeAttention(KeyValueCache& cache, std::span<const std::int64_t> slots, std::span<const std::int64_t> positions)
      : cache_(cache), slots_(slots), positions_(positions) {}

  at::Tensor attend(std::int64_t layer, const at::Tensor& qkv, const at::Tensor&) override {
    return cache_.attend(layer, qkv, slots_, positions_);
  }

 private:
  KeyValueCache& cache_;
  std::span<const std::int64_t> slots_, positions_;
};

/// Work on the queue of jobs with a fixed number of slots.
class Generator {
 public:
  Generator(const DecoderWeights& weights, const ActiveAdapters& adapters, std::span<const GenerateJob> jobs,
            const GenerateOptions& options)
      : weights_(weights),
        adapters_(adapters),
        jobs_(jobs),
        options_(options),
        context_{.backend = options.backend, .dropout = nullptr},
        prefix_(adapters.prefix.defined() ? adapters.prefix.size(1) : 0),
        slots_(static_cast<std::size_t>(
            std::clamp<std::int64_t>(options.slots, 1, static_cast<std::int64_t>(jobs.size())))),
        cache_(weights, static_cast<std::int64_t>(slots_.size()), capacity(), context_),
        answers_(jobs.size()) {}

  std::vector<std::vector<std::int32_t>> run() {
    while (true) {
      if (next_ < jobs_.size() && worth_refilling()) refill();
      if (active_ > 0)
        decode();
      else if (next_ >= jobs_.size())
        return std::move(answers_);
    }
  }

 private:
  struct Slot {
    std::optional<std::size_t> job;
    std::int64_t position = 0;  ///< of the token that is fed next
    std::int32_t token = 0;     ///< fed next
  };

  std::int64_t capacity() const {
    std::int64_t most = 1;
    for (const GenerateJob& job : jobs_)
      most = std::max(most, prefix_ + static_cast<std::int64_t>(job.prompt.size()) + job.max_new_tokens);
    return most;
  }

  /// A prefill of several prompts is cheaper than several of one: wait until a quarter of the slots are free.
  bool worth_refilling() const {
    return active_ == 0 || slots_.size() - active_ >= std::max<std::size_t>(slots_.size() / 4, 1);
  }

  void refill() {
    std::vector<std::vector<std::int32_t>> prompts;
    std::vector<std::int64_t> slots, jobs;
    for (std::size_t s = 0; s < slots_.size() && next_ < jobs_.size(); ++s) {
      if (slots_[s].job) continue;
      while (next_ < jobs_.size() && jobs_[next_].max_new_tokens <= 0) finish(next_++);
      if (next_ == jobs_.size()) break;
      prompts.push_back(jobs_[next_].prompt);
      slots.push_back(static_cast<std::int64_t>(s));
      jobs.push_back(static_cast<std::int64_t>(next_));
      slots_[s] = {
          .job = next_, .position = prefix_ + static_cast<std::int64_t>(jobs_[next_].prompt.size()), .token = 0};
      ++next_;
      ++active_;
    }
    if (prompts.empty()) return;
    const PackedBatch batch = pack_prompts(prompts);
    const ActiveAdapters adapters = adapters_for_jobs(adapters_, jobs);
    const TokenAxis axis(batch, adapters.prefix);
    const TokenAxis::Selection last = axis.select(RowsNeeded::kLast);
    PrefillAttention attention(PackedAttention(attention_spec(weights_, axis.full_span()),
                                               attention_spec(weights_, axis.span_of(last)), context_),
                               cache_, axis, slots, weights_.config.num_attention_heads * weights_.config.head_dim);
    accept(slots, run_rows(axis.embed(weights_), adapters, attention, axis.offsets(), last));
    slots_changed_ = true;
  }

  void decode() {
    std::vector<std::int64_t> slots, positions, tokens;
    for (std::size_t s = 0; s < slots_.size(); ++s) {
      if (!slots_[s].job) continue;
      slots.push_back(static_cast<std::int64_t>(s));
      positions.push_back(slots_[s].position++);
      tokens.push_back(slots_[s].token);
    }
    if (slots_changed_) {
      std::vector<std::int64_t> jobs;
      for (const std::int64_t s : slots)
        jobs.push_back(static_cast<std::int64_t>(*slots_[static_cast<std::size_t>(s)].job));
      decode_adapters_ = adapters_for_jobs(adapters_, jobs);
      decode_adapters_.prefix = at::Tensor();
      slots_changed_ = false;
    }
    std::vector<std::int64_t> offsets(slots.size() + 1);
    for (std::size_t i = 0; i < offsets.size(); ++i) offsets[i] = static_cast<std::int64_t>(i);
    DecodeAttention attention(cache_, slots, positions);
    const at::Tensor hidden = at::embedding(weights_.embedding, at::tensor(tokens, at::kLong));
    accept(slots, run_rows(hidden, decode_adapters_, attention, std::move(offsets), {}));
  }

  /// The next token of each sequence.
  at::Tensor run_rows(const at::Tensor& hidden, const ActiveAdapters& adapters, AttentionStep& attention,
                      std::vector<std::int64_t> offsets, const TokenAxis::Selection& last) const {
    const StackOutput out = run_stack(weights_, hidden,
                                      {.adapters = &adapters,
                                       .attention = &attention,
                                       .context = context_,
                                       .first_layer = 0,
                                       .end_layer = static_cast<std::int64_t>(weights_.layers.size()),
                                       .offsets = std::move(offsets),
                                       .last_rows = last.rows,
                                       .last_offsets = last.offsets,
                                       .want_hidden = false,
                                       .capture_linears = {}});
    return at::argmax(blocks::group_linear(weights_.head, final_norm(weights_, out, context_), {}, context_), 1);
  }

  void accept(std::span<const std::int64_t> slots, const at::Tensor& tokens) {
    const std::int64_t* values = tokens.const_data_ptr<std::int64_t>();
    for (std::size_t i = 0; i < slots.size(); ++i) {
      Slot& slot = slots_[static_cast<std::size_t>(slots[i])];
      const std::size_t index = *slot.job;
      const GenerateJob& job = jobs_[index];
      slot.token = static_cast<std::int32_t>(values[i]);
      answers_[index].push_back(slot.token);
      const bool stopped = std::find(job.stop.begin(), job.stop.end(), slot.token) != job.stop.end();
      if (!stopped && static_cast<std::int64_t>(answers_[index].size()) < job.max_new_tokens) continue;
      slot.job.reset();
      --active_;
      slots_changed_ = true;
      finish(index);
    }
  }

  void finish(std::size_t) {
    ++done_;
    if (options_.progress) options_.progress(done_);
  }

  const DecoderWeights& weights_;
  const ActiveAdapters& adapters_;
  std::span<const GenerateJob> jobs_;
  const GenerateOptions& options_;
  blocks::BlockContext context_;
  std::int64_t prefix_;
  std::vector<Slot> slots_;
  KeyValueCache cache_;
  std::vector<std::vector<std::int32_t>> answers_;
  ActiveAdapters decode_adapters_;
  bool slots_changed_ = true;
  std::size_t next_ = 0, active_ = 0;
  std::int64_t done_ = 0;
};

}  // namespace

std::vector<std::vector<std::int32_t>> generate(const Transformer& model, const ActiveAdapters& adapters,
                                                std::span<const GenerateJob> jobs, const GenerateOptions& options) {
  if (jobs.empty()) return {};
  for (std::size_t i = 0; i < jobs.size(); ++i)
    MNEME_CHECK(!jobs[i].prompt.empty(), "Job {} of {} to generate from has an empty prompt", i, jobs.size());
  const c10::NoGradGuard no_grad;
  std::unique_ptr<DecoderWeights> scratch;
  const DecoderWeights& weights = Decoder::weights(model, scratch);
  check_adapters(weights, adapters);
  return Generator(weights, adapters, jobs, options).run();
}

}  // namespace mneme::model
