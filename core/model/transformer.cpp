#include "core/model/transformer.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <cmath>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/model/layer_stack.h"
#include "core/model/memory_estimate.h"
#include "core/model/transformer_parts.h"

namespace mneme::model {
namespace {

at::Tensor normal_tensor(const std::vector<std::int64_t>& shape, double deviation, RandomStream& rng) {
  at::Tensor tensor = at::empty(shape, at::kFloat);
  float* values = tensor.data_ptr<float>();
  for (std::int64_t i = 0; i < tensor.numel(); ++i) values[i] = static_cast<float>(deviation * rng.normal());
  return tensor;
}

bool ends_with(const std::string& name, std::string_view end) { return name.ends_with(end); }

bool joins_residual(const std::string& name) {
  for (const char* end : {".o_proj.weight", ".down_proj.weight", ".o.weight", ".wo.weight"})
    if (ends_with(name, end)) return true;
  return false;
}

/// W + scale · B A of one adapter, into the fp32 weights by linear.
void add_low_rank(std::vector<at::Tensor>& linears, const LowRankDelta& delta) {
  const LowRankLayout& layout = *delta.layout;
  const at::Tensor slice = delta.slice.detach().to(linears.front().device(), at::kFloat);
  std::int64_t b = layout.rank * layout.in * static_cast<std::int64_t>(layout.parts.size());
  for (std::size_t p = 0; p < layout.parts.size(); ++p) {
    const auto& part = layout.parts[p];
    const std::int64_t a = static_cast<std::int64_t>(p) * layout.rank * layout.in;
    const at::Tensor down = slice.narrow(0, a, layout.rank * layout.in).view({layout.rank, layout.in});
    const at::Tensor up = slice.narrow(0, b, part.out * layout.rank).view({part.out, layout.rank});
    at::Tensor& weight = linears[static_cast<std::size_t>(part.linear)];
    weight = at::addmm(weight, up, down, 1, delta.scale);
    b += part.out * layout.rank;
  }
}

}  // namespace

Transformer::Transformer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Transformer::~Transformer() = default;

std::unique_ptr<Transformer> Transformer::random(const TransformerConfig& config, c10::ScalarType dtype,
                                                 RandomStream& rng, c10::Device device, MatmulPrecision precision) {
  check_config(config, "a model to be made at random");
  constexpr double kDeviation = 0.02;
  const double residual = kDeviation / std::sqrt(2.0 * static_cast<double>(config.total_layers()));
  std::map<std::string, at::Tensor> named;
  for (const auto& [name, shape] : weight_shapes(config)) {
    if (ends_with(name, ".bias"))
      named[name] = at::zeros(shape, at::kFloat);
    else if (shape.size() == 1)
      named[name] = at::ones(shape, at::kFloat);
    else
      named[name] = normal_tensor(shape, joins_residual(name) ? residual : kDeviation, rng);
  }
  return std::unique_ptr<Transformer>(
      new Transformer(std::make_unique<Parts>(Parts{make_weights(config, dtype, device, precision, named), {}})));
}

const TransformerConfig& Transformer::config() const { return parts_->weights.config; }
c10::ScalarType Transformer::dtype() const { return parts_->weights.dtype; }
c10::Device Transformer::device() const { return parts_->weights.device; }
const std::vector<LinearInfo>& Transformer::linears() const { return parts_->weights.linears; }
const std::vector<GroupInfo>& Transformer::groups() const { return parts_->weights.groups; }

std::int64_t Transformer::parameter_count() const { return model::parameter_count(config()); }

std::vector<std::pair<std::string, at::Tensor>> Transformer::weights() const {
  auto named = named_weights(parts_->weights);
  for (auto& [name, tensor] : named) {
    const auto bound = parts_->bound.find(name);
    if (bound != parts_->bound.end()) tensor = bound->second;
  }
  return named;
}

void Transformer::bind_weights(const std::vector<std::pair<std::string, at::Tensor>>& leaves) {
  const auto shapes = weight_shapes(config());
  std::vector<std::string> names;
  for (const auto& [name, shape] : shapes) names.push_back(name);
  for (const auto& [name, leaf] : leaves) {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) throw Error(fmt::format("The model has no weight '{}'{}", name, hint(name, names)));
    const auto& shape = shapes[static_cast<std::size_t>(found - names.begin())].second;
    MNEME_CHECK(leaf.defined() && leaf.sizes() == shape, "The tensor bound to weight '{}' has another shape than [{}]",
                name, fmt::join(shape, ", "));
    MNEME_CHECK(leaf.scalar_type() == at::kFloat || leaf.scalar_type() == dtype(),
                "The tensor bound to weight '{}' is {}; expected Float or the model's {}", name,
                c10::toString(leaf.scalar_type()), c10::toString(dtype()));
    parts_->bound[name] = leaf;
  }
}

std::unique_ptr<Transformer> Transformer::merged(const ActiveAdapters& adapters) const {
  check_adapters(parts_->weights, adapters);
  MNEME_CHECK(!adapters.prefix.defined(), "Soft prompts cannot be merged into weights");
  const auto check_gate = [](const at::Tensor& gate) {
    MNEME_CHECK(!gate.defined(), "An adapter with a gate per sequence cannot be merged into weights");
  };
  std::vector<at::Tensor> merged_linears(linears().size());
  std::map<std::string, at::Tensor> named;
  for (const auto& [name, tensor] : weights()) named[name] = tensor.detach();
  for (std::size_t i = 0; i < linears().size(); ++i)
    merged_linears[i] = named.at(linears()[i].name + ".weight").to(at::promote_types(dtype(), at::kFloat));
  for (const auto& group : adapters.groups) {
    for (const LowRankDelta& delta : group) {
      check_gate(delta.gate);
      add_low_rank(merged_linears, delta);
    }
  }
  for (const WeightDelta& delta : adapters.weights) {
    check_gate(delta.gate);
    at::Tensor& weight = merged_linears[static_cast<std::size_t>(delta.linear)];
    weight = weight + delta.delta.detach().to(weight.options()) * delta.scale;
  }
  for (std::size_t i = 0; i < linears().size(); ++i) named[linears()[i].name + ".weight"] = merged_linears[i];
  return std::unique_ptr<Transformer>(new Transformer(
      std::make_unique<Parts>(Parts{make_weights(config(), dtype(), device(), parts_->weights.precision, named), {}})));
}

const ModelWeights& Weights::of(const Transformer& model, std::unique_ptr<ModelWeights>& scratch) {
  const Transformer::Parts& parts = *model.parts_;
  if (parts.bound.empty()) return parts.weights;
  std::map<std::string, at::Tensor> named;
  for (const auto& [name, tensor] : model.weights()) named[name] = tensor;
  scratch = std::make_unique<ModelWeights>(
      make_weights(model.config(), model.dtype(), model.device(), parts.weights.precision, named));
  scratch->rope = parts.weights.rope;
  return *scratch;
}

}  // namespace mneme::model
