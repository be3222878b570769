#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/adapter/forward_spec.h"
#include "core/adapter/lora.h"
#include "core/adapter/parameter_view.h"
#include "core/base/random.h"
#include "core/model/transformer.h"

namespace mneme {

/// A sparse expert: positions (row-major, in [0, out·in)) of one linear's weight and a value for each.
struct SparseSupport {
  std::int64_t linear = 0;
  at::Tensor positions;  ///< int64 [k]
};

struct AdapterEntry;
class StateVisitor;

/// All adapters of a run. Parameters are fp32; those that are trained lie in one flat vector, with one flat gradient,
/// so that projections, importances, interpolation and averages are single vector operations.
class AdapterBank {
 public:
  explicit AdapterBank(std::shared_ptr<model::Transformer> model);
  ~AdapterBank();

  /// A (Kaiming uniform with a = sqrt 5) drawn from rng, B = 0: the new adapter changes nothing.
  AdapterId create_lora(const std::string& name, const LoraOptions& options, RandomStream& rng);
  /// The model's own weights, for full fine-tuning; they become parameters of this adapter. At most one.
  AdapterId create_full(const std::string& name);
  /// Values on given positions of linears' weights, zero at first.
  AdapterId create_sparse(const std::string& name, std::vector<SparseSupport> supports);
  /// A parameter of any shape (soft prompts, keys, routers), zero at first; used through tensor().
  AdapterId create_free(const std::string& name, std::vector<std::int64_t> shape);
  /// Same kind, options and values; independent storage.
  AdapterId clone(AdapterId source, const std::string& name);
  void remove(AdapterId id);

  std::vector<AdapterId> ids() const;
  const std::string& name(AdapterId id) const;
  /// Throws Error with the nearest name.
  AdapterId find(const std::string& name) const;
  const LoraOptions* lora_options(AdapterId id) const;  ///< nullptr if it is no LoRA

  /// Chooses what is trained: lays these adapters' parameters end to end in the flat vector, in this order.
  /// Values are kept, gradients start at zero; whoever holds the old flat vectors holds stale copies.
  void set_trainable(const std::vector<AdapterId>& ids);
  const std::vector<AdapterId>& trainable() const;

  at::Tensor values() const;                 ///< fp32 [n]: every trainable parameter
  at::Tensor gradient() const;               ///< fp32 [n]: backward() accumulates into it
  std::vector<ParameterView> views() const;  ///< of values() and gradient(), in order, without gaps

  at::Tensor values(AdapterId id) const;                 ///< fp32 [n_id], shares storage with the adapter
  std::vector<ParameterView> views(AdapterId id) const;  ///< offsets in values(id)
  /// One parameter, of views(id) or views(), as the forward pass sees it: differentiable if its adapter is trained.
  at::Tensor tensor(AdapterId id, const ParameterView& view) const;
  /// The tensors that autograd differentiates, in the order of values(); each is a contiguous piece of it.
  const std::vector<at::Tensor>& leaves() const;

  /// dst = keep · dst + (1 - keep) · src, in place; both of the same kind and size.
  void interpolate(AdapterId dst, AdapterId src, double keep);
  void copy(AdapterId dst, AdapterId src) { interpolate(dst, src, 0.0); }

  model::ActiveAdapters resolve(const ForwardSpec& spec) const;

  /// SHA-256 of an adapter's kind, options and values: equal digests mean equal forward passes.
  std::string digest(AdapterId id) const;

  void visit_state(StateVisitor& visitor);

 private:
  AdapterEntry& entry(AdapterId id);
  const AdapterEntry& entry(AdapterId id) const;
  AdapterId add(AdapterEntry made);

  std::shared_ptr<model::Transformer> model_;
  std::vector<std::unique_ptr<AdapterEntry>> entries_;
  std::vector<AdapterId> trainable_;
  std::vector<at::Tensor> leaves_;
  at::Tensor values_, gradient_;
  AdapterId next_id_ = 1;
};

}  // namespace mneme
