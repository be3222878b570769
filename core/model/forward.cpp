#include <ATen/ATen.h>

#include "core/base/error.h"
#include "core/model/blocks/label_loss.h"
#include "core/model/decoder_stack.h"
#include "core/model/token_axis.h"
#include "core/model/transformer.h"
#include "core/model/transformer_parts.h"

namespace mneme::model {
namespace {

/// One forward pass: from ids to losses, logits and hidden states.
class ForwardPass {
 public:
  ForwardPass(const DecoderWeights& weights, const ForwardRequest& request)
      : weights_(weights),
        request_(request),
        context_{.backend = request.backend, .dropout = request.dropout},
        layers_(static_cast<std::int64_t>(weights.layers.size())),
        end_(request.end_layer < 0 ? layers_ : request.end_layer),
        axis_(*request.batch, request.adapters != nullptr ? request.adapters->prefix : at::Tensor()) {}

  ForwardOutput run() {
    check();
    const bool partial = request_.end_layer >= 0;
    const bool want_all = request_.hidden == HiddenStates::kAll && !partial;
    const TokenAxis::Selection rows = partial ? TokenAxis::Selection{} : axis_.select(request_.rows);
    const bool prune = request_.hidden == HiddenStates::kNone && rows.rows.defined() && request_.first_layer < layers_;
    PackedAttention attention(attention_spec(weights_, axis_.full_span()),
                              prune ? attention_spec(weights_, axis_.span_of(rows)) : nullptr, context_);
    StackOutput layers = run_stack(weights_, input(),
                                   {.adapters = request_.adapters,
                                    .attention = &attention,
                                    .context = context_,
                                    .first_layer = request_.first_layer,
                                    .end_layer = end_,
                                    .offsets = axis_.offsets(),
                                    .last_rows = prune ? rows.rows : at::Tensor(),
                                    .last_offsets = rows.offsets,
                                    .want_hidden = want_all,
                                    .capture_linears = request_.capture_linears});
    ForwardOutput output;
    for (auto& [linear, value] : layers.captured)
      output.captured[linear] = value.size(0) == axis_.rows() ? axis_.without_prefix(value) : value;
    if (partial) {
      output.hidden.push_back(layers.delta.defined() ? layers.residual + layers.delta : layers.residual);
      return output;
    }
    finish(layers, prune ? at::Tensor() : rows.rows, output);
    return output;
  }

 private:
  void check() const {
    const PackedBatch& batch = *request_.batch;
    MNEME_CHECK(request_.first_layer >= 0 && request_.first_layer <= end_ && end_ <= layers_,
                "A forward pass shall run layers {} to {}; the model has {}", request_.first_layer, end_, layers_);
    MNEME_CHECK((request_.first_layer > 0) == request_.resume.defined(),
                "A forward pass from layer {} {} hidden states to resume from", request_.first_layer,
                request_.first_layer > 0 ? "needs" : "takes no");
    MNEME_CHECK(!request_.resume.defined() || (request_.resume.dim() == 2 && request_.resume.size(0) == axis_.rows() &&
                                               request_.resume.size(1) == weights_.config.hidden_size),
                "Hidden states to resume from need the shape [{}, {}]", axis_.rows(), weights_.config.hidden_size);
    MNEME_CHECK(!request_.want_losses || request_.rows == RowsNeeded::kLabels,
                "Losses are computed at label rows; ask for rows = kLabels");
    for (const std::int64_t linear : request_.capture_linears)
      MNEME_CHECK(linear >= 0 && linear < static_cast<std::int64_t>(weights_.linears.size()),
                  "Linear {} shall be captured; the model has {}", linear, weights_.linears.size());
    if (request_.adapters == nullptr) return;
    check_adapters(weights_, *request_.adapters);
    const at::Tensor& prefix = request_.adapters->prefix;
    MNEME_CHECK(
        !prefix.defined() ||
            (prefix.dim() == 3 && prefix.size(0) == batch.sequences() && prefix.size(2) == weights_.config.hidden_size),
        "Soft prompts need the shape [{} sequences, length, {}]", batch.sequences(), weights_.config.hidden_size);
  }

  at::Tensor input() const { return request_.resume.defined() ? request_.resume : axis_.embed(weights_); }

  /// \param rows rows of the layers' output that are still to be selected; undefined: none
  void finish(StackOutput& layers, const at::Tensor& rows, ForwardOutput& output) const {
    at::Tensor normed = final_norm(weights_, layers, context_);
    if (request_.hidden != HiddenStates::kNone) {
      for (const at::Tensor& h : layers.hidden) output.hidden.push_back(axis_.without_prefix(h));
      output.hidden.push_back(axis_.without_prefix(normed));
    }
    if (!request_.want_losses && !request_.want_logits) return;
    if (rows.defined()) normed = normed.index_select(0, rows);
    const at::Tensor logits = blocks::group_linear(weights_.head, normed, {}, context_);
    if (request_.want_losses) output.losses = blocks::label_loss(logits, request_.batch->labels, context_);
    if (request_.want_logits) output.logits = logits.scalar_type() == at::kBFloat16 ? logits.to(at::kFloat) : logits;
  }

  const DecoderWeights& weights_;
  const ForwardRequest& request_;
  blocks::BlockContext context_;
  std::int64_t layers_, end_;
  TokenAxis axis_;
};

}  // namespace

ForwardOutput Transformer::forward(const ForwardRequest& request) const {
  MNEME_CHECK(request.batch != nullptr && request.batch->sequences() >= 1, "A forward pass needs a batch of sequences");
  std::unique_ptr<DecoderWeights> scratch;
  return ForwardPass(Decoder::weights(*this, scratch), request).run();
}

}  // namespace mneme::model
