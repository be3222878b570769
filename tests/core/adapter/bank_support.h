#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/adapter/bank.h"
#include "tests/support/toy.h"

namespace mneme::test {

/// Options of a low-rank adapter whose scale is not 1.
LoraOptions lora(std::int64_t rank = 2, std::vector<std::string> targets = {"q_proj", "v_proj", "down_proj"});

/// Overwrites fp32 values with normal ones of deviation 0.3.
void randomise(at::Tensor values, std::uint64_t seed);

/// A bank on a fresh toy model.
struct Bench {
  explicit Bench(std::uint64_t seed = 1) : model(toy_model(seed)), bank(model) {}

  /// A low-rank adapter whose B is not zero.
  AdapterId random_lora(const std::string& name, std::uint64_t seed, const LoraOptions& options = lora());
  at::Tensor logits(const ForwardSpec& spec, const Dataset& data) const;  ///< [M, V]
  at::Tensor loss(const ForwardSpec& spec, const Dataset& data) const;    ///< [], the mean over labels

  std::shared_ptr<model::Transformer> model;
  AdapterBank bank;
};

/// Largest |a - b| over the largest |b|.
double gap(const at::Tensor& a, const at::Tensor& b);

/// Six samples of the toy stream.
Dataset samples();

/// The model's weight of a linear, as a leaf-free copy.
at::Tensor weight_of(const model::Transformer& model, const std::string& linear);

/// The toy model with weights W + delta, by Hugging Face's names.
std::shared_ptr<model::Transformer> changed(const std::map<std::string, at::Tensor>& deltas);

}  // namespace mneme::test
