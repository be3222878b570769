#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "core/base/error.h"
#include "core/model/derived_adapters.h"
#include "core/model/device.h"
#include "core/model/generate.h"
#include "core/model/layer_stack.h"
#include "core/model/source_target.h"
#include "core/model/token_axis.h"
#include "core/model/transformer_parts.h"

namespace mneme::model {
namespace {

using Tokens = std::vector<std::int32_t>;

/// Keys and values of a pass over prompts, by layer of the decoder, not yet rotated.
struct RecordedKeys {
  std::int64_t first_layer = 0;
  std::vector<at::Tensor> own{};     ///< [N, 2·kv heads·head_dim]
  std::vector<at::Tensor> memory{};  ///< of the encoder's output [Nm, …]

  std::size_t index(std::int64_t layer) const { return static_cast<std::size_t>(layer - first_layer); }
};

/// Packed attention that remembers what it attended to.
class RecordingAttention final : public PackedAttention {
 public:
  RecordingAttention(PackedAttention packed, std::int64_t query_columns, RecordedKeys& keys)
      : PackedAttention(std::move(packed)), query_columns_(query_columns), keys_(keys) {}

  at::Tensor attend(std::int64_t layer, const at::Tensor& qkv, const at::Tensor& kv) override {
    keys_.own.push_back(kv.defined() ? kv : qkv.narrow(1, query_columns_, qkv.size(1) - query_columns_));
    return PackedAttention::attend(layer, qkv, kv);
  }
  at::Tensor attend_memory(std::int64_t layer, const at::Tensor& q, const at::Tensor& kv) override {
    keys_.memory.push_back(kv);
    return PackedAttention::attend_memory(layer, q, kv);
  }

 private:
  std::int64_t query_columns_;
  RecordedKeys& keys_;
};

/// The proper prefixes of the candidates of some prompts, each prefix once: a row each. A branch is a path from the
/// first token down; it computes the rows that no branch before it has.
class PrefixTrie {
 public:
  /// \param prompt_offsets [P+1] where the prompts' keys lie; the rows' own keys lie behind them all
  PrefixTrie(std::span<const std::int64_t> prompt_offsets, std::int64_t first_prompt)
      : prompt_offsets_(prompt_offsets), next_prompt_(static_cast<std::size_t>(first_prompt)) {}

  /// Adds the candidates of the next prompt.
  void add(std::span<const Tokens> candidates) {
    std::map<std::pair<std::int64_t, std::int32_t>, std::int64_t> known;
    for (const Tokens& tokens : candidates) {
      Steps& steps = steps_.emplace_back();
      std::vector<std::int64_t> path;
      std::int64_t row = -1;
      const auto first_new = static_cast<std::int64_t>(ids_.size());
      for (std::size_t t = 0; t + 1 < tokens.size(); ++t) {
        const auto [found, added] = known.try_emplace({row, tokens[t]}, static_cast<std::int64_t>(ids_.size()));
        if (added) {
          ids_.push_back(tokens[t]);
          span_.query_positions.push_back(prompt_length() + static_cast<std::int64_t>(t));
        }
        row = found->second;
        path.push_back(row);
        steps.push_back(static_cast<std::int64_t>(edge_rows_.size()));
        edge_rows_.push_back(row);
        edge_tokens_.push_back(tokens[t + 1]);
      }
      if (first_new < static_cast<std::int64_t>(ids_.size())) add_branch(path);
    }
    row_offsets_.push_back(static_cast<std::int64_t>(ids_.size()));
    ++next_prompt_;
  }

  using Steps = std::vector<std::int64_t>;                    ///< indices of the edges that a candidate goes along
  const std::vector<Steps>& steps() const { return steps_; }  ///< of each candidate, in the order of add()
  const std::vector<std::int64_t>& ids() const { return ids_; }
  const std::vector<std::int64_t>& row_offsets() const { return row_offsets_; }  ///< rows of each prompt
  const std::vector<std::int64_t>& edge_rows() const { return edge_rows_; }
  const std::vector<std::int64_t>& edge_tokens() const { return edge_tokens_; }
  const std::vector<std::int64_t>& key_rows() const { return key_rows_; }  ///< for each key of each branch its row
  const blocks::AttentionSpan& span() const { return span_; }              ///< of branches

 private:
  std::int64_t prompt_length() const { return prompt_offsets_[next_prompt_ + 1] - prompt_offsets_[next_prompt_]; }

  void add_branch(const std::vector<std::int64_t>& path) {
    for (std::int64_t r = prompt_offsets_[next_prompt_]; r < prompt_offsets_[next_prompt_ + 1]; ++r)
      key_rows_.push_back(r);
    for (const std::int64_t row : path) key_rows_.push_back(prompt_offsets_.back() + row);
    span_.query_offsets.push_back(static_cast<std::int64_t>(ids_.size()));
    span_.key_offsets.push_back(static_cast<std::int64_t>(key_rows_.size()));
  }

  std::span<const std::int64_t> prompt_offsets_;
  std::size_t next_prompt_;
  std::vector<std::int64_t> ids_, edge_rows_, edge_tokens_, key_rows_, row_offsets_{0};
  std::vector<Steps> steps_;
  blocks::AttentionSpan span_{.query_offsets = {0}, .key_offsets = {0}, .query_positions = {}};
};

/// Rows of a trie: each attends to its prompt's keys and to those on its path.
class TrieAttention final : public AttentionStep {
 public:
  struct Specs {
    PackedAttention::Spec own{}, memory{};
    std::int64_t first_memory = 0, end_memory = 0;  ///< rows of the recorded memory that `memory` speaks of
  };
  TrieAttention(const RecordedKeys& prompts, std::int64_t query_columns, at::Tensor key_rows, Specs specs,
                const blocks::BlockContext& context)
      : prompts_(prompts),
        query_columns_(query_columns),
        key_rows_(std::move(key_rows)),
        specs_(std::move(specs)),
        context_(context) {}

  at::Tensor attend(std::int64_t layer, const at::Tensor& qkv, const at::Tensor&) override {
    const at::Tensor own = qkv.narrow(1, query_columns_, qkv.size(1) - query_columns_);
    const at::Tensor keys = at::cat({prompts_.own[prompts_.index(layer)], own}, 0).index_select(0, key_rows_);
    return blocks::attention(qkv.narrow(1, 0, query_columns_), keys, specs_.own, context_);
  }
  at::Tensor attend_memory(std::int64_t layer, const at::Tensor& q, const at::Tensor&) override {
    const at::Tensor& all = prompts_.memory[prompts_.index(layer)];
    return blocks::attention(q, all.narrow(0, specs_.first_memory, specs_.end_memory - specs_.first_memory),
                             specs_.memory, context_);
  }

 private:
  const RecordedKeys& prompts_;
  std::int64_t query_columns_;
  at::Tensor key_rows_;
  Specs specs_;
  blocks::BlockContext context_;
};

/// Scores the candidates of a few prompts that are computed together.
class GroupScorer {
 public:
  GroupScorer(const ModelWeights& weights, const ActiveAdapters& adapters, const blocks::BlockContext& context,
              std::span<const Tokens> prompts, std::span<const std::vector<Tokens>> candidates)
      : weights_(weights),
        adapters_(adapters),
        context_(context),
        prompts_(prompts),
        candidates_(candidates),
        query_columns_(weights.config.num_attention_heads * weights.config.head_dim),
        keys_{.first_layer = weights.decoder().first_layer} {}

  /// \param first index of the group's first prompt among all; scores are written from there on
  void run(std::size_t first, std::vector<std::vector<double>>& scores) {
    score_first_tokens(first, scores);
    for (std::size_t prompt = 0; prompt < prompts_.size();) prompt = score_tails(prompt, first, scores);
  }

 private:
  ActiveAdapters adapters_of(std::size_t first, std::size_t count) const {
    std::vector<std::int64_t> jobs(count);
    std::iota(jobs.begin(), jobs.end(), static_cast<std::int64_t>(first));
    return adapters_for_jobs(adapters_, jobs);
  }

  at::Tensor log_probabilities(const at::Tensor& hidden, StackRequest request) const {
    const StackWeights& stack = weights_.decoder();
    request.context = context_;
    request.first_layer = stack.first_layer;
    request.end_layer = stack.end_layer;
    const StackOutput out = run_stack(weights_, hidden, request);
    const at::Tensor logits = head_logits(weights_, final_norm(weights_, stack, out, context_), context_);
    return at::log_softmax(logits, 1, logits.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
  }

  /// All prompts in one packed pass: the first token of every candidate is scored from its prompt's last row, or from
  /// the decoder's first.
  void score_first_tokens(std::size_t first, std::vector<std::vector<double>>& scores) {
    PackedBatch batch = pack_prompts(prompts_);
    ActiveAdapters adapters = adapters_of(first, prompts_.size());
    const StackWeights& stack = weights_.decoder();
    PackedAttention::Specs specs;
    if (weights_.config.encoder_decoder()) {
      SourceTarget split = split_source_target(batch, weights_.config.decoder_start_token_id);
      memory_ = run_encoder(weights_, TokenAxis(split.source, adapters.prefix), adapters, context_);
      adapters.prefix = at::Tensor();
      batch = std::move(split.target);
      specs.memory = memory_spec(weights_, {batch.offsets, memory_.offsets, {}});
    }
    const TokenAxis axis(batch, adapters.prefix);
    const TokenAxis::Selection last = axis.select(RowsNeeded::kLast);
    specs.full = attention_spec(weights_, stack, axis.full_span());
    specs.pruned = attention_spec(weights_, stack, axis.span_of(last));
    RecordingAttention attention(PackedAttention(specs, context_), query_columns_, keys_);
    const at::Tensor table =
        log_probabilities(axis.embed(weights_), {.adapters = &adapters,
                                                 .attention = &attention,
                                                 .offsets = axis.offsets(),
                                                 .memory = memory_.states.defined() ? &memory_ : nullptr,
                                                 .last_rows = last.rows,
                                                 .last_offsets = last.offsets})
            .to(at::kCPU, at::kDouble);
    prompt_offsets_ = axis.offsets();
    for (std::size_t i = 0; i < prompts_.size(); ++i) {
      const double* row = table.const_data_ptr<double>() + static_cast<std::int64_t>(i) * table.size(1);
      for (const Tokens& tokens : candidates_[i]) scores[first + i].push_back(row[tokens[0]]);
    }
  }

  /// Scores the remaining tokens for as many prompts as fit a pass. \return the first prompt that is left
  std::size_t score_tails(std::size_t begin, std::size_t first, std::vector<std::vector<double>>& scores) const {
    constexpr std::size_t kMostKeys = 16384;  // rows of keys that are gathered at once
    PrefixTrie trie(prompt_offsets_, static_cast<std::int64_t>(begin));
    std::size_t end = begin;
    while (end < prompts_.size() && (end == begin || trie.key_rows().size() < kMostKeys)) trie.add(candidates_[end++]);
    if (trie.ids().empty()) return end;
    ActiveAdapters adapters = adapters_of(first + begin, end - begin);
    adapters.prefix = at::Tensor();
    const auto index = [&](const std::vector<std::int64_t>& values) { return index_on(values, weights_.device); };
    TrieAttention attention(keys_, query_columns_, index(trie.key_rows()), trie_specs(trie, begin, end), context_);
    const at::Tensor table =
        log_probabilities(at::embedding(weights_.embedding, index(trie.ids())),
                          {.adapters = &adapters, .attention = &attention, .offsets = trie.row_offsets()});
    const at::Tensor values =
        table.index({index(trie.edge_rows()), index(trie.edge_tokens())}).to(at::kCPU, at::kDouble);
    auto steps = trie.steps().begin();
    for (std::size_t prompt = begin; prompt < end; ++prompt)
      for (double& score : scores[first + prompt])
        for (const std::int64_t edge : *steps++) score += values.const_data_ptr<double>()[edge];
    return end;
  }

  TrieAttention::Specs trie_specs(const PrefixTrie& trie, std::size_t begin, std::size_t end) const {
    TrieAttention::Specs specs{.own = attention_spec(weights_, weights_.decoder(), trie.span())};
    if (!memory_.states.defined()) return specs;
    specs.first_memory = memory_.offsets[begin];
    specs.end_memory = memory_.offsets[end];
    blocks::AttentionSpan span{.query_offsets = trie.row_offsets(), .key_offsets = {}, .query_positions = {}};
    for (std::size_t p = begin; p <= end; ++p) span.key_offsets.push_back(memory_.offsets[p] - specs.first_memory);
    specs.memory = memory_spec(weights_, std::move(span));
    return specs;
  }

  const ModelWeights& weights_;
  const ActiveAdapters& adapters_;
  blocks::BlockContext context_;
  std::span<const Tokens> prompts_;
  std::span<const std::vector<Tokens>> candidates_;
  std::int64_t query_columns_;
  RecordedKeys keys_;
  Memory memory_;
  std::vector<std::int64_t> prompt_offsets_;
};

void check_tokens(const Tokens& tokens, std::int64_t vocabulary, const std::string& what) {
  if (tokens.empty()) throw Error(fmt::format("{} is empty; expected at least one token", what));
  for (const std::int32_t id : tokens)
    if (id < 0 || id >= vocabulary)
      throw Error(fmt::format("{} holds token {}; the vocabulary has {} tokens", what, id, vocabulary));
}

}  // namespace

std::vector<std::vector<double>> score_continuations(const Transformer& model, const ActiveAdapters& adapters,
                                                     std::span<const std::vector<std::int32_t>> prompts,
                                                     std::span<const std::vector<std::vector<std::int32_t>>> candidates,
                                                     const GenerateOptions& options) {
  MNEME_CHECK(prompts.size() == candidates.size(), "{} prompts and {} lists of candidates; expected as many",
              prompts.size(), candidates.size());
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    check_tokens(prompts[i], model.config().vocab_size, fmt::format("Prompt {}", i));
    for (std::size_t c = 0; c < candidates[i].size(); ++c)
      check_tokens(candidates[i][c], model.config().vocab_size, fmt::format("Candidate {} of prompt {}", c, i));
  }
  const c10::NoGradGuard no_grad;
  std::unique_ptr<ModelWeights> scratch;
  const ModelWeights& weights = Weights::of(model, scratch);
  check_adapters(weights, adapters);
  const ActiveAdapters placed = adapters_on(adapters, weights.device);
  std::vector<std::vector<double>> scores(prompts.size());
  const auto group = static_cast<std::size_t>(std::max<std::int64_t>(options.slots, 1));
  for (std::size_t first = 0; first < prompts.size(); first += group) {
    const std::size_t count = std::min(group, prompts.size() - first);
    GroupScorer scorer(weights, placed, {.backend = options.backend}, prompts.subspan(first, count),
                       candidates.subspan(first, count));
    scorer.run(first, scores);
    if (options.progress) options.progress(static_cast<std::int64_t>(first + count));
  }
  return scores;
}

}  // namespace mneme::model
