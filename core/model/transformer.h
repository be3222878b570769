#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/random.h"
#include "core/model/adapters.h"
#include "core/model/batch.h"
#include "core/model/blocks/backend.h"
#include "core/model/config.h"

namespace mneme::model {

/// Rows of the last layer that something will read; the last layer and the head compute no others.
enum class RowsNeeded { kLabels, kLast, kAll };
enum class HiddenStates { kNone, kLast, kAll };

/// What one forward pass shall compute.
struct ForwardRequest {
  const PackedBatch* batch = nullptr;
  const ActiveAdapters* adapters = nullptr;  ///< nullptr: the bare model
  RowsNeeded rows = RowsNeeded::kLabels;
  bool want_losses = false;  ///< cross-entropy per label; needs rows = kLabels
  bool want_logits = false;  ///< of the rows needed
  HiddenStates hidden = HiddenStates::kNone;
  RandomStream* dropout = nullptr;              ///< training mode: draws the dropout masks; nullptr: no dropout
  std::int64_t first_layer = 0;                 ///< > 0: continue from `resume`; of an encoder-decoder: in the encoder
  std::int64_t end_layer = -1;                  ///< stop before this layer and return its input; -1: run to the end
  at::Tensor resume{};                          ///< [N, D] hidden states entering first_layer
  std::vector<std::int64_t> capture_linears{};  ///< linears whose inputs are returned
  BlockBackend backend = BlockBackend::kFused;
  bool recompute = false;  ///< keep layers' inputs only and compute layers again for the gradient: less memory
};

/// R rows: M, B or N by RowsNeeded.
struct ForwardOutput {
  at::Tensor losses{};  ///< float [M], nats
  at::Tensor logits{};  ///< float [R, V]
  /// kAll: L+1 tensors [N, D]: the embeddings, then each layer's output, the last one after the final norm (as Hugging
  /// Face counts them); of an encoder-decoder the encoder's and then the decoder's. kLast: only the last of all. With
  /// end_layer: one tensor, the input of that layer.
  std::vector<at::Tensor> hidden{};
  std::vector<std::vector<std::int64_t>> hidden_offsets{};  ///< [B+1] of each: where the sequences' rows start
  std::map<std::int64_t, at::Tensor> captured{};            ///< linear -> its input [N, in]
};

/// A transformer of one of the families that TransformerConfig names. Immutable in use: adapters are arguments of
/// forward(), never state, so that two forwards with different adapters may precede one backward. Batches and adapters
/// are given on the CPU, and what a pass computes comes back there, wherever the layers run.
class Transformer {
 public:
  /// Random normal weights (std 0.02, residual projections scaled by 1/sqrt(2L), norms 1) from a named stream.
  static std::unique_ptr<Transformer> random(const TransformerConfig& config, c10::ScalarType dtype, RandomStream& rng,
                                             c10::Device device = c10::kCPU,
                                             MatmulPrecision precision = MatmulPrecision::kHighest);

  /// Reads config.json and model.safetensors (or its shards) of a directory through a memory map, converted to dtype.
  /// All missing, unexpected and wrongly shaped tensors are listed in one Error.
  /// \param device where the weights lie and the layers run
  /// \param precision of fp32 products with frozen weights on the CPU
  static std::unique_ptr<Transformer> load(const std::filesystem::path& directory, c10::ScalarType dtype,
                                           c10::Device device = c10::kCPU,
                                           MatmulPrecision precision = MatmulPrecision::kHighest);

  ~Transformer();

  /// Writes config.json and model.safetensors as Hugging Face's transformers reads them.
  void save(const std::filesystem::path& directory, c10::ScalarType dtype) const;

  const TransformerConfig& config() const;
  c10::ScalarType dtype() const;
  c10::Device device() const;
  const std::vector<LinearInfo>& linears() const;
  const std::vector<GroupInfo>& groups() const;
  std::int64_t parameter_count() const;

  /// Differentiable in the adapters, and in the weights that train_weights() made leaves.
  ForwardOutput forward(const ForwardRequest& request) const;

  /// Hugging Face name -> tensor on the model's device, in a fixed order: for saving, hashing and full fine-tuning.
  std::vector<std::pair<std::string, at::Tensor>> weights() const;

  /// Lets weights be trained: each named weight becomes the given leaf (same shape, fp32 or the model's dtype).
  void bind_weights(const std::vector<std::pair<std::string, at::Tensor>>& leaves);

  /// A copy whose weights contain the given adapters (no gates, no prefix), for fast evaluation: merged from the frozen
  /// original, never by adding and subtracting.
  std::unique_ptr<Transformer> merged(const ActiveAdapters& adapters) const;

 private:
  friend class Weights;  // the passes of this module compute with the joined weights
  struct Parts;
  explicit Transformer(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace mneme::model
