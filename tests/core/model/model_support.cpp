#include "tests/core/model/model_support.h"

#include <ATen/Context.h>

#include <algorithm>

#include "core/base/random.h"

namespace {

/// ATen's own generator starts the same in every run.
[[maybe_unused]] const bool kSeeded = (at::manual_seed(1), true);

}  // namespace

namespace mneme::model::test {

double relative_error(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.detach().to(at::kDouble), y = b.detach().to(at::kDouble);
  if (x.sizes() != y.sizes()) return 1e300;
  if (x.numel() == 0) return 0;
  const double size = y.abs().max().item<double>();
  return (x - y).abs().max().item<double>() / std::max(size, 1e-30);
}

TransformerConfig small_config() {
  TransformerConfig config;
  config.vocab_size = 53;
  config.hidden_size = 40;
  config.intermediate_size = 56;
  config.num_hidden_layers = 3;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 12;
  config.max_position_embeddings = 128;
  return config;
}

TransformerConfig small_t5_config() {
  TransformerConfig c;
  c.model_type = "t5";
  c.vocab_size = 47;
  c.hidden_size = 24;
  c.intermediate_size = 28;
  c.num_hidden_layers = 2;
  c.num_decoder_layers = 3;
  c.num_attention_heads = c.num_key_value_heads = 3;
  c.head_dim = 10;
  c.hidden_act = "gelu_tanh";
  c.relative_attention_num_buckets = 8;
  c.relative_attention_max_distance = 12;
  return c;
}

std::unique_ptr<Transformer> lively_model(const TransformerConfig& config, at::ScalarType dtype) {
  RandomStream rng(1, "weights");
  const auto model = Transformer::random(config, dtype, rng);
  std::vector<std::pair<std::string, at::Tensor>> weights;
  for (const auto& [name, weight] : model->weights())
    weights.emplace_back(name, weight.dim() == 1 ? weight + 0.1 * at::randn_like(weight) : weight * 8);
  model->bind_weights(weights);
  return model->merged({});
}

ActiveAdapters random_adapter(const Transformer& model, const AdapterOptions& options) {
  ActiveAdapters adapters;
  RandomStream rng(options.seed, "adapter");
  for (const GroupInfo& group : model.groups()) {
    adapters.groups.emplace_back();
    auto layout = std::make_shared<LowRankLayout>();
    layout->rank = options.rank;
    layout->in = group.in;
    for (const std::int64_t l : group.linears) {
      const LinearInfo& linear = model.linears()[static_cast<std::size_t>(l)];
      const std::string kind = linear.name.substr(linear.name.rfind('.') + 1);
      if (std::find(options.kinds.begin(), options.kinds.end(), kind) == options.kinds.end()) continue;
      layout->parts.push_back({.linear = l, .first_column = linear.first_column, .out = linear.out});
    }
    if (layout->parts.empty() || group.layer < options.first_layer) continue;
    at::Tensor slice = at::empty({layout->parameters()}, at::kFloat);
    for (std::int64_t i = 0; i < slice.numel(); ++i)
      slice.data_ptr<float>()[i] = static_cast<float>(options.deviation * rng.normal());
    slice.requires_grad_(options.requires_grad);
    adapters.groups.back().push_back({.slice = slice, .layout = layout, .scale = options.scale});
  }
  return adapters;
}

std::vector<at::Tensor> slices_of(const ActiveAdapters& adapters) {
  std::vector<at::Tensor> slices;
  for (const auto& group : adapters.groups)
    for (const LowRankDelta& delta : group) slices.push_back(delta.slice);
  return slices;
}

std::vector<std::vector<std::int32_t>> random_tokens(const std::vector<std::int64_t>& lengths, std::int64_t vocab,
                                                     std::uint64_t seed) {
  RandomStream rng(seed, "tokens");
  std::vector<std::vector<std::int32_t>> sequences;
  for (const std::int64_t length : lengths) {
    sequences.emplace_back();
    for (std::int64_t i = 0; i < length; ++i)
      sequences.back().push_back(static_cast<std::int32_t>(rng.below(static_cast<std::uint64_t>(vocab))));
  }
  return sequences;
}

PackedBatch pack_all(const std::vector<std::vector<std::int32_t>>& tokens, const std::vector<std::int64_t>& first) {
  std::vector<Sequence> sequences;
  for (std::size_t i = 0; i < tokens.size(); ++i) sequences.push_back({.tokens = tokens[i], .first_label = first[i]});
  return pack(sequences);
}

PackedBatch small_batch() { return pack_all(random_tokens(kLengths, 53, 4), kFirst); }

std::vector<at::Tensor> gradients(const at::Tensor& loss, const std::vector<at::Tensor>& leaves) {
  for (const at::Tensor& leaf : leaves) leaf.mutable_grad() = at::Tensor();
  loss.backward();
  std::vector<at::Tensor> result;
  for (const at::Tensor& leaf : leaves) {
    result.push_back(leaf.grad().defined() ? leaf.grad().clone() : at::zeros_like(leaf));
    leaf.mutable_grad() = at::Tensor();
  }
  return result;
}

}  // namespace mneme::model::test
