#include "tests/core/adapter/bank_support.h"

#include <ATen/ATen.h>

#include <stdexcept>
#include <utility>

#include "core/base/random.h"
#include "core/strategy/sample.h"

namespace mneme::test {

LoraOptions lora(std::int64_t rank, std::vector<std::string> targets) {
  return {.rank = rank, .alpha = 6, .dropout = 0, .targets = std::move(targets), .first_layer = 0};
}

void randomise(at::Tensor values, std::uint64_t seed) {
  RandomStream rng(seed, "bank-test");
  for (std::int64_t i = 0; i < values.numel(); ++i)
    values.data_ptr<float>()[i] = static_cast<float>(0.3 * rng.normal());
}

AdapterId Bench::random_lora(const std::string& name, std::uint64_t seed, const LoraOptions& options) {
  RandomStream rng(seed, "a");
  const AdapterId id = bank.create_lora(name, options, rng);
  randomise(bank.values(id), seed);
  return id;
}

at::Tensor Bench::logits(const ForwardSpec& spec, const Dataset& data) const {
  const Batch batch = make_batch(data);
  const model::ActiveAdapters adapters = bank.resolve(spec);
  return model->forward({.batch = &batch.packed, .adapters = &adapters, .want_logits = true}).logits;
}

at::Tensor Bench::loss(const ForwardSpec& spec, const Dataset& data) const {
  const Batch batch = make_batch(data);
  const model::ActiveAdapters adapters = bank.resolve(spec);
  return model->forward({.batch = &batch.packed, .adapters = &adapters, .want_losses = true}).losses.mean();
}

double gap(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>() / b.abs().max().item<double>();
}

Dataset samples() { return toy_samples(1, 6); }

/// The model's weight of a linear, as a leaf-free copy.
at::Tensor weight_of(const model::Transformer& model, const std::string& linear) {
  for (const auto& [name, weight] : model.weights())
    if (name == linear + ".weight") return weight.detach().clone();
  throw std::runtime_error("no weight " + linear);
}

/// The toy model with weights W + delta, by Hugging Face's names.
std::shared_ptr<model::Transformer> changed(const std::map<std::string, at::Tensor>& deltas) {
  auto model = toy_model();
  std::vector<std::pair<std::string, at::Tensor>> weights;
  for (const auto& [name, weight] : model->weights()) {
    const auto it = deltas.find(name);
    weights.emplace_back(name, it == deltas.end() ? weight.detach().clone() : weight.detach() + it->second);
  }
  model->bind_weights(weights);
  return model;
}
}  // namespace mneme::test
