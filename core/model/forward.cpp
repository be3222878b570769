#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <optional>

#include "core/base/error.h"
#include "core/model/blocks/label_loss.h"
#include "core/model/derived_adapters.h"
#include "core/model/device.h"
#include "core/model/layer_stack.h"
#include "core/model/recompute.h"
#include "core/model/source_target.h"
#include "core/model/token_axis.h"
#include "core/model/transformer.h"
#include "core/model/transformer_parts.h"

namespace mneme::model {
namespace {

/// One forward pass: from ids to losses, logits and hidden states.
class ForwardPass {
 public:
  /// \param frozen whether the weights stay until the backward pass
  ForwardPass(const ModelWeights& weights, const ForwardRequest& request, bool frozen)
      : weights_(weights),
        request_(request),
        recompute_(request.recompute && frozen && request.capture_linears.empty() && c10::GradMode::is_enabled()),
        context_{.backend = request.backend, .dropout = request.dropout},
        layers_(static_cast<std::int64_t>(weights.layers.size())),
        end_(request.end_layer < 0 ? layers_ : request.end_layer),
        want_all_(request.hidden == HiddenStates::kAll && !partial()) {
    const at::Tensor prefix = request.adapters != nullptr ? request.adapters->prefix : at::Tensor();
    if (weights.config.encoder_decoder()) {
      split_ = split_source_target(*request.batch, weights.config.decoder_start_token_id);
      source_.emplace(split_.source, prefix);
      axis_.emplace(split_.target, at::Tensor());
    } else {
      axis_.emplace(*request.batch, prefix);
    }
  }

  ForwardOutput run() {
    check();
    if (source_ && !encode()) return std::move(output_);
    decode();
    return std::move(output_);
  }

 private:
  bool partial() const { return request_.end_layer >= 0; }
  /// The axis that soft prompts stand on and that a pass may resume on.
  const TokenAxis& first_axis() const { return source_ ? *source_ : *axis_; }
  const PackedBatch& target() const { return source_ ? split_.target : *request_.batch; }

  void check() const {
    const PackedBatch& batch = *request_.batch;
    MNEME_CHECK(request_.first_layer >= 0 && request_.first_layer <= end_ && end_ <= layers_,
                "A forward pass shall run layers {} to {}; the model has {}", request_.first_layer, end_, layers_);
    MNEME_CHECK(request_.first_layer <= weights_.stacks[0].end_layer,
                "A forward pass shall go on from layer {}, in the decoder; an encoder-decoder goes on within its {} "
                "encoder layers alone",
                request_.first_layer, weights_.stacks[0].end_layer);
    MNEME_CHECK((request_.first_layer > 0) == request_.resume.defined(),
                "A forward pass from layer {} {} hidden states to resume from", request_.first_layer,
                request_.first_layer > 0 ? "needs" : "takes no");
    MNEME_CHECK(
        !request_.resume.defined() || (request_.resume.dim() == 2 && request_.resume.size(0) == first_axis().rows() &&
                                       request_.resume.size(1) == weights_.config.hidden_size),
        "Hidden states to resume from need the shape [{}, {}]", first_axis().rows(), weights_.config.hidden_size);
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

  /// What the layers of one stack have in common.
  StackRequest stack_request(const StackWeights& stack, const TokenAxis& axis, PackedAttention& attention) const {
    return {.adapters = request_.adapters,
            .attention = &attention,
            .context = context_,
            .first_layer = std::max(request_.first_layer, stack.first_layer),
            .end_layer = std::min(end_, stack.end_layer),
            .offsets = axis.offsets(),
            .want_hidden = want_all_,
            .capture_linears = request_.capture_linears};
  }

  at::Tensor input(const TokenAxis& axis) const {
    return request_.resume.defined() && &axis == &first_axis() ? on_device(request_.resume, weights_.device)
                                                               : axis.embed(weights_);
  }

  StackOutput run_layers(const TokenAxis& axis, const StackRequest& request, const PackedAttention& attention) const {
    return recompute_ ? run_stack_recomputed(weights_, input(axis), request, attention)
                      : run_stack(weights_, input(axis), request);
  }

  /// Runs the encoder. \return whether the pass goes on with the decoder
  bool encode() {
    const StackWeights& stack = weights_.stacks[0];
    PackedAttention attention({.full = attention_spec(weights_, stack, source_->full_span())}, context_);
    StackOutput layers = run_layers(*source_, stack_request(stack, *source_, attention), attention);
    keep_captured(layers);
    if (partial() && end_ <= stack.end_layer) {
      keep_hidden(*source_, sum(layers));
      return false;
    }
    memory_ = {.states = final_norm(weights_, stack, layers, context_), .offsets = source_->offsets()};
    if (want_all_) keep_all(*source_, layers, memory_.states);
    return true;
  }

  void decode() {
    const StackWeights& stack = weights_.decoder();
    const TokenAxis::Selection rows = partial() ? TokenAxis::Selection{} : axis_->select(request_.rows);
    const bool prune = request_.hidden == HiddenStates::kNone && rows.rows.defined() && request_.first_layer < layers_;
    PackedAttention::Specs specs{.full = attention_spec(weights_, stack, axis_->full_span())};
    if (prune) specs.pruned = attention_spec(weights_, stack, axis_->span_of(rows));
    if (source_) specs.memory = memory_spec(weights_, {axis_->offsets(), memory_.offsets, {}});
    if (source_ && prune) specs.pruned_memory = memory_spec(weights_, {rows.offsets, memory_.offsets, {}});
    PackedAttention attention(std::move(specs), context_);
    StackRequest request = stack_request(stack, *axis_, attention);
    if (source_) request.memory = &memory_;
    if (prune) request.last_rows = rows.rows;
    request.last_offsets = rows.offsets;
    StackOutput layers = run_layers(*axis_, request, attention);
    keep_captured(layers);
    if (partial())
      keep_hidden(*axis_, sum(layers));
    else
      finish(layers, prune ? at::Tensor() : rows.rows);
  }

  static at::Tensor sum(const StackOutput& layers) {
    return layers.delta.defined() ? layers.residual + layers.delta : layers.residual;
  }

  /// An input of a linear on the prompts' axis comes back without the rows of soft prompts.
  void keep_captured(const StackOutput& layers) {
    for (const auto& [linear, value] : layers.captured)
      output_.captured[linear] =
          (value.size(0) == first_axis().rows() ? first_axis().without_prefix(value) : value).cpu();
  }

  void keep_hidden(const TokenAxis& axis, const at::Tensor& hidden) {
    output_.hidden.push_back(hidden.cpu());
    output_.hidden_offsets.push_back(axis.offsets());
  }

  void keep_all(const TokenAxis& axis, const StackOutput& layers, const at::Tensor& normed) {
    for (const at::Tensor& h : layers.hidden) output_.hidden.push_back(axis.without_prefix(h).cpu());
    output_.hidden.push_back(axis.without_prefix(normed).cpu());
    output_.hidden_offsets.resize(output_.hidden.size(), axis.token_offsets());
  }

  /// \param rows rows of the layers' output that are still to be selected; undefined: none
  void finish(const StackOutput& layers, const at::Tensor& rows) {
    at::Tensor normed = final_norm(weights_, weights_.decoder(), layers, context_);
    if (request_.hidden != HiddenStates::kNone) keep_all(*axis_, layers, normed);
    if (!request_.want_losses && !request_.want_logits) return;
    if (rows.defined()) normed = normed.index_select(0, on_device(rows, normed.device()));
    const at::Tensor logits = head_logits(weights_, normed, context_);
    if (request_.want_losses) output_.losses = blocks::label_loss(logits, target().labels, context_).cpu();
    if (request_.want_logits)
      output_.logits = (logits.scalar_type() == at::kBFloat16 ? logits.to(at::kFloat) : logits).cpu();
  }

  const ModelWeights& weights_;
  const ForwardRequest& request_;
  bool recompute_;
  blocks::BlockContext context_;
  std::int64_t layers_, end_;
  bool want_all_;
  SourceTarget split_;
  std::optional<TokenAxis> source_, axis_;  ///< of the encoder, where there is one, and of the decoder
  Memory memory_;
  ForwardOutput output_;
};

}  // namespace

ForwardOutput Transformer::forward(const ForwardRequest& request) const {
  MNEME_CHECK(request.batch != nullptr && request.batch->sequences() >= 1, "A forward pass needs a batch of sequences");
  std::unique_ptr<ModelWeights> scratch;
  const ModelWeights& weights = Weights::of(*this, scratch);
  if (weights.device.is_cpu() || request.adapters == nullptr)
    return ForwardPass(weights, request, scratch == nullptr).run();
  const ActiveAdapters adapters = adapters_on(*request.adapters, weights.device);
  ForwardRequest placed = request;
  placed.adapters = &adapters;
  return ForwardPass(weights, placed, scratch == nullptr).run();
}

}  // namespace mneme::model
