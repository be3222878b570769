#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "core/model/blocks/attention.h"
#include "core/model/token_axis.h"
#include "core/model/weights.h"

namespace mneme::model {

/// How the rows of one pass attend; differs between training, decoding from a cache and scoring.
class AttentionStep {
 public:
  virtual ~AttentionStep();

  /// Self-attention. Arguments and result as in blocks::attention(): `kv` is undefined where queries and keys share
  /// their rows.
  virtual at::Tensor attend(std::int64_t layer, const at::Tensor& qkv, const at::Tensor& kv) = 0;

  /// Attention of decoder rows to the encoder's output. \param kv undefined where the pass was given no memory: the
  /// step then knows the keys and values
  virtual at::Tensor attend_memory(std::int64_t layer, const at::Tensor& q, const at::Tensor& kv) = 0;
};

/// Attention among the rows of the pass itself; the last layer may have fewer queries.
class PackedAttention : public AttentionStep {
 public:
  using Spec = std::shared_ptr<const blocks::AttentionSpec>;
  struct Specs {
    Spec full{};           ///< self-attention of all rows
    Spec pruned{};         ///< of the rows that the last layer computes, or nullptr
    Spec memory{};         ///< to the encoder's output, or nullptr
    Spec pruned_memory{};  ///< of the rows that the last layer computes
  };
  PackedAttention(Specs specs, const blocks::BlockContext& context) : specs_(std::move(specs)), context_(context) {}

  at::Tensor attend(std::int64_t layer, const at::Tensor& qkv, const at::Tensor& kv) override;
  at::Tensor attend_memory(std::int64_t layer, const at::Tensor& q, const at::Tensor& kv) override;

 private:
  Specs specs_;
  blocks::BlockContext context_;
};

/// The output of an encoder.
struct Memory {
  at::Tensor states{};                  ///< [Nm, D], after the final norm; undefined: none
  std::vector<std::int64_t> offsets{};  ///< [B+1]
};

/// The layers of one pass.
struct StackRequest {
  const ActiveAdapters* adapters = nullptr;  ///< or nullptr
  AttentionStep* attention = nullptr;
  blocks::BlockContext context{};
  std::int64_t first_layer = 0, end_layer = 0;
  std::vector<std::int64_t> offsets{};       ///< [B+1] sequences of the rows
  const Memory* memory = nullptr;            ///< what the rows attend to, or nullptr
  at::Tensor last_rows{};                    ///< int64 [R] rows that the model's last layer computes; undefined: all
  std::vector<std::int64_t> last_offsets{};  ///< [B+1] sequences of last_rows
  bool want_hidden = false;                  ///< the input of every layer
  std::vector<std::int64_t> capture_linears{};
};

struct StackOutput {
  at::Tensor residual{}, delta{};    ///< their sum enters the next layer; delta may be undefined
  std::vector<at::Tensor> hidden{};  ///< inputs of the layers [N, D]
  std::map<std::int64_t, at::Tensor> captured{};
};

/// Runs the layers on hidden states [N, D].
StackOutput run_stack(const ModelWeights& weights, const at::Tensor& hidden, const StackRequest& request);

/// Keys and values of the encoder's output in one layer of the decoder, [Nm, 2·kv heads·head_dim].
at::Tensor memory_keys(const ModelWeights& weights, std::int64_t layer, const Memory& memory,
                       const ActiveAdapters* adapters, const blocks::BlockContext& context);

/// Final norm of what run_stack() left of a stack's layers.
at::Tensor final_norm(const ModelWeights& weights, const StackWeights& stack, const StackOutput& output,
                      const blocks::BlockContext& context);

/// Logits [R, V] of a decoder's normed rows.
at::Tensor head_logits(const ModelWeights& weights, const at::Tensor& normed, const blocks::BlockContext& context);

/// The encoder's output for whole prompts, without gradients of its own or captures: for decoding and scoring.
Memory run_encoder(const ModelWeights& weights, const TokenAxis& axis, const ActiveAdapters& adapters,
                   const blocks::BlockContext& context);

/// Self-attention in a stack of the model for the given span.
PackedAttention::Spec attention_spec(const ModelWeights& weights, const StackWeights& stack,
                                     blocks::AttentionSpan span);
/// Attention to the encoder's output.
PackedAttention::Spec memory_spec(const ModelWeights& weights, blocks::AttentionSpan span);

/// The position bias of a stack, covering `reach` positions; undefined where it has none.
at::Tensor position_bias(const ModelWeights& weights, const StackWeights& stack, std::int64_t reach);

/// Factor of the scores: 1/sqrt(head_dim), or 1 in T5, whose weights contain it.
double attention_scale(const TransformerConfig& config);

/// Throws Error if the adapters do not fit the model.
void check_adapters(const ModelWeights& weights, const ActiveAdapters& adapters);

}  // namespace mneme::model
