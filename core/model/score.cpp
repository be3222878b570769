#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/model/decoder_stack.h"
#include "core/model/generate.h"
#include "core/model/job_adapters.h"
#include "core/model/token_axis.h"
#include "core/model/transformer_parts.h"

namespace mneme::model {
namespace {

using Tokens = std::vector<std::int32_t>;

/// Keys and values [N, 2·kv heads·head_dim] of each layer, not yet rotated.
using LayerKeys = std::vector<at::Tensor>;

at::Tensor index_of(const std::vector<std::int64_t>& values) { return at::tensor(values, at::kLong); }

/// Packed attention that remembers what it attended to.
class RecordingAttention final : public PackedAttention {
 public:
  RecordingAttention(PackedAttention packed, std::int64_t query_columns, LayerKeys& keys)
      : PackedAttention(std::move(packed)), query_columns_(query_columns), keys_(keys) {}

  at::Tensor attend(std::int64_t layer, const at::Tensor& qkv, const at::Tensor& kv) override {
    keys_.push_back(kv.defined() ? kv : qkv.narrow(1, query_columns_, qkv.size(1) - query_columns_));
    return PackedAttention::attend(layer, qkv, kv);
  }

 private:
  std::int64_t query_columns_;
  LayerKeys& keys_;
};

/// Rows of branches: each attends to its prompt's keys and to its own.
class BranchAttention final : public AttentionStep {
 public:
  /// \param rows for each key of each branch its row in the prompts' keys followed by the new rows' keys
  BranchAttention(const LayerKeys& prompts, std::int64_t query_columns, at::Tensor rows,
                  std::shared_ptr<const blocks::AttentionSpec> spec, const blocks::BlockContext& context)
      : prompts_(prompts),
        query_columns_(query_columns),
        rows_(std::move(rows)),
        spec_(std::move(spec)),
        context_(context) {}

  at::Tensor attend(std::int64_t layer, const at::Tensor& qkv, const at::Tensor&) override {
    const at::Tensor own = qkv.narrow(1, query_columns_, qkv.size(1) - query_columns_);
    const at::Tensor keys = at::cat({prompts_[static_cast<std::size_t>(layer)], own}, 0).index_select(0, rows_);
    return blocks::attention(qkv.narrow(1, 0, query_columns_), keys, spec_, context_);
  }

 private:
  const LayerKeys& prompts_;
  std::int64_t query_columns_;
  at::Tensor rows_;
  std::shared_ptr<const blocks::AttentionSpec> spec_;
  blocks::BlockContext context_;
};

/// Scores the candidates of a few prompts that are computed together.
class GroupScorer {
 public:
  GroupScorer(const DecoderWeights& weights, const ActiveAdapters& adapters, const blocks::BlockContext& context,
              std::span<const Tokens> prompts, std::span<const std::vector<Tokens>> candidates)
      : weights_(weights),
        adapters_(adapters),
        context_(context),
        prompts_(prompts),
        candidates_(candidates),
        query_columns_(weights.config.num_attention_heads * weights.config.head_dim) {}

  /// \param first index of the group's first prompt among all; scores are written from there on
  void run(std::size_t first, std::vector<std::vector<double>>& scores) {
    score_first_tokens(first, scores);
    std::size_t branch = 0;
    for (; branch < branches_.size(); branch = score_tails(branch, scores)) {
    }
  }

 private:
  /// A candidate of more than one token.
  struct Branch {
    std::size_t prompt;  ///< in the group
    std::int64_t job;    ///< among all
    std::size_t candidate;
  };

  const Tokens& tokens(const Branch& branch) const { return candidates_[branch.prompt][branch.candidate]; }

  StackRequest request(const ActiveAdapters& adapters, AttentionStep& attention,
                       std::vector<std::int64_t> offsets) const {
    return {.adapters = &adapters,
            .attention = &attention,
            .context = context_,
            .first_layer = 0,
            .end_layer = static_cast<std::int64_t>(weights_.layers.size()),
            .offsets = std::move(offsets)};
  }

  at::Tensor log_probabilities(const StackOutput& out) const {
    const at::Tensor logits = blocks::group_linear(weights_.head, final_norm(weights_, out, context_), {}, context_);
    return at::log_softmax(logits, 1, logits.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
  }

  /// All prompts in one packed pass: the first token of every candidate is scored from its prompt's last row.
  void score_first_tokens(std::size_t first, std::vector<std::vector<double>>& scores) {
    const PackedBatch batch = pack_prompts(prompts_);
    std::vector<std::int64_t> jobs;
    for (std::size_t i = 0; i < prompts_.size(); ++i) jobs.push_back(static_cast<std::int64_t>(first + i));
    const ActiveAdapters adapters = adapters_for_jobs(adapters_, jobs);
    const TokenAxis axis(batch, adapters.prefix);
    const TokenAxis::Selection last = axis.select(RowsNeeded::kLast);
    RecordingAttention attention(PackedAttention(attention_spec(weights_, axis.full_span()),
                                                 attention_spec(weights_, axis.span_of(last)), context_),
                                 query_columns_, keys_);
    StackRequest stack = request(adapters, attention, axis.offsets());
    stack.last_rows = last.rows;
    stack.last_offsets = last.offsets;
    const at::Tensor table = log_probabilities(run_stack(weights_, axis.embed(weights_), stack)).to(at::kDouble);
    prompt_offsets_ = axis.offsets();
    for (std::size_t i = 0; i < prompts_.size(); ++i) {
      const double* row = table.const_data_ptr<double>() + static_cast<std::int64_t>(i) * table.size(1);
      for (std::size_t c = 0; c < candidates_[i].size(); ++c) {
        scores[first + i].push_back(row[candidates_[i][c][0]]);
        if (candidates_[i][c].size() > 1) branches_.push_back({.prompt = i, .job = jobs[i], .candidate = c});
      }
    }
  }

  /// Scores the remaining tokens of as many branches as fit a pass. \return the first branch that is left
  std::size_t score_tails(std::size_t begin, std::vector<std::vector<double>>& scores) const {
    constexpr std::int64_t kMostKeys = 16384;  // rows of keys that are gathered at once
    std::vector<std::int64_t> jobs, ids, labels, rows;
    blocks::AttentionSpan span{.query_offsets = {0}, .key_offsets = {0}};
    std::size_t end = begin;
    for (; end < branches_.size() && (end == begin || span.key_offsets.back() < kMostKeys); ++end) {
      const Branch& branch = branches_[end];
      jobs.push_back(branch.job);
      for (std::int64_t r = prompt_offsets_[branch.prompt]; r < prompt_offsets_[branch.prompt + 1]; ++r)
        rows.push_back(r);
      for (std::size_t t = 0; t + 1 < tokens(branch).size(); ++t) {
        rows.push_back(prompt_offsets_.back() + static_cast<std::int64_t>(ids.size()));
        ids.push_back(tokens(branch)[t]);
        labels.push_back(tokens(branch)[t + 1]);
      }
      span.query_offsets.push_back(static_cast<std::int64_t>(ids.size()));
      span.key_offsets.push_back(static_cast<std::int64_t>(rows.size()));
    }
    ActiveAdapters adapters = adapters_for_jobs(adapters_, jobs);
    adapters.prefix = at::Tensor();
    const std::vector<std::int64_t> offsets = span.query_offsets;
    BranchAttention attention(keys_, query_columns_, index_of(rows), attention_spec(weights_, std::move(span)),
                              context_);
    const at::Tensor hidden = at::embedding(weights_.embedding, index_of(ids));
    const at::Tensor table = log_probabilities(run_stack(weights_, hidden, request(adapters, attention, offsets)));
    const at::Tensor values = table.gather(1, index_of(labels).unsqueeze(1)).to(at::kDouble);
    for (std::size_t b = begin; b < end; ++b) {
      double& score = scores[static_cast<std::size_t>(branches_[b].job)][branches_[b].candidate];
      for (std::int64_t r = offsets[b - begin]; r < offsets[b - begin + 1]; ++r)
        score += values.const_data_ptr<double>()[r];
    }
    return end;
  }

  const DecoderWeights& weights_;
  const ActiveAdapters& adapters_;
  blocks::BlockContext context_;
  std::span<const Tokens> prompts_;
  std::span<const std::vector<Tokens>> candidates_;
  std::int64_t query_columns_;
  LayerKeys keys_;
  std::vector<std::int64_t> prompt_offsets_;
  std::vector<Branch> branches_;
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
  std::unique_ptr<DecoderWeights> scratch;
  const DecoderWeights& weights = Decoder::weights(model, scratch);
  check_adapters(weights, adapters);
  std::vector<std::vector<double>> scores(prompts.size());
  const auto group = static_cast<std::size_t>(std::max<std::int64_t>(options.slots, 1));
  for (std::size_t first = 0; first < prompts.size(); first += group) {
    const std::size_t count = std::min(group, prompts.size() - first);
    GroupScorer scorer(weights, adapters, {.backend = options.backend}, prompts.subspan(first, count),
                       candidates.subspan(first, count));
    scorer.run(first, scores);
    if (options.progress) options.progress(static_cast<std::int64_t>(first + count));
  }
  return scores;
}

}  // namespace mneme::model
