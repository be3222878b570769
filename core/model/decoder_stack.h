#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "core/model/blocks/attention.h"
#include "core/model/decoder_weights.h"

namespace mneme::model {

/// How the rows of one pass attend; differs between training, decoding from a cache and scoring.
class AttentionStep {
 public:
  virtual ~AttentionStep();

  /// Arguments and result as in blocks::attention(): `kv` is undefined where queries and keys share their rows.
  virtual at::Tensor attend(std::int64_t layer, const at::Tensor& qkv, const at::Tensor& kv) = 0;
};

/// Attention among the rows of the pass itself; the last layer may have fewer queries.
class PackedAttention : public AttentionStep {
 public:
  PackedAttention(std::shared_ptr<const blocks::AttentionSpec> full,
                  std::shared_ptr<const blocks::AttentionSpec> pruned, const blocks::BlockContext& context)
      : full_(std::move(full)), pruned_(std::move(pruned)), context_(context) {}

  at::Tensor attend(std::int64_t layer, const at::Tensor& qkv, const at::Tensor& kv) override;

 private:
  std::shared_ptr<const blocks::AttentionSpec> full_, pruned_;
  blocks::BlockContext context_;
};

/// The layers of one pass.
struct StackRequest {
  const ActiveAdapters* adapters = nullptr;  ///< or nullptr
  AttentionStep* attention = nullptr;
  blocks::BlockContext context{};
  std::int64_t first_layer = 0, end_layer = 0;
  std::vector<std::int64_t> offsets{};       ///< [B+1] sequences of the rows
  at::Tensor last_rows{};                    ///< int64 [R] rows that the last layer computes; undefined: all
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
StackOutput run_stack(const DecoderWeights& weights, const at::Tensor& hidden, const StackRequest& request);

/// Final norm of what run_stack() left.
at::Tensor final_norm(const DecoderWeights& weights, const StackOutput& output, const blocks::BlockContext& context);

/// Attention spec of the model for the given span.
std::shared_ptr<const blocks::AttentionSpec> attention_spec(const DecoderWeights& weights, blocks::AttentionSpan span);

/// Throws Error if the adapters do not fit the model.
void check_adapters(const DecoderWeights& weights, const ActiveAdapters& adapters);

}  // namespace mneme::model
