#include "core/model/memory_estimate.h"

#include <c10/core/ScalarType.h>
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>

#include "core/model/tensor_memory.h"
#include "core/model/weights.h"

namespace mneme::model {
namespace {

// Measured on Linux with glibc, over models of 1 to 220 million parameters in fp32 and bf16.
constexpr double kProgram = 150e6;  // resident pages of the program and of LibTorch
constexpr double kHalf = 30e6;      // oneDNN's code and scratch for products in bf16
constexpr double kHoles = 1.35;     // what tensors take over their size where those of short steps lie in the heap,
                                    // between others, and those of long steps in blocks that wait for the next ones
constexpr double kNoHoles = 1.2 * static_cast<double>(kLargeTensor);  // from hidden states of this size on
constexpr double kHalfHoles = 1.5;  // the same of trained weights in bf16, with their gradients in both types

/// Sums what one step keeps, layer by layer.
class Counter {
 public:
  Counter(const TransformerConfig& config, const TrainingCase& step)
      : c_(config),
        step_(step),
        shape_(config, step.dtype, c10::kCPU),
        element_(static_cast<double>(c10::elementSize(step.dtype))),
        adapted_(step.adapted.begin(), step.adapted.end()),
        first_adapted_(std::numeric_limits<std::int64_t>::max()) {
    std::int64_t per_rank = 0;
    for (const std::int64_t index : step.adapted) {
      const LinearInfo& linear = shape_.linears[static_cast<std::size_t>(index)];
      first_adapted_ = std::min(first_adapted_, linear.layer);
      per_rank += linear.in + linear.out;
    }
    if (per_rank > 0) rank_ = static_cast<double>(step.trained) / static_cast<double>(per_rank);
    if (step.full) first_adapted_ = 0;
  }

  MemoryEstimate run() {
    MemoryEstimate all;
    all.program = kProgram + (half() ? kHalf : 0);
    all.weights = element_ * static_cast<double>(parameter_count(c_));
    all.packed = packed();
    all.training = 16 * static_cast<double>(step_.trained);
    const double head = 2 * bytes(step_.labels, c_.vocab_size);
    const auto layers = static_cast<std::int64_t>(shape_.layers.size());
    double largest = 0;
    for (std::int64_t layer = 0; layer < layers; ++layer) {
      const double kept = layer_bytes(layer), once = bytes(rows(layer), inner() + 3 * c_.hidden_size);
      all.activations += step_.recompute ? std::min(kept, bytes(rows(layer), c_.hidden_size)) : kept;
      largest = std::max(largest, step_.recompute ? kept + once : once);
    }
    if (step_.trained > 0) all.activations += last_states();
    const double states = bytes(std::max(step_.rows, step_.source_rows) / step_.passes, c_.hidden_size);
    const double holes = states < kNoHoles ? kHoles : 1;
    all.activations *= holes;
    // The products with the head take its weight a second time, in their own order.
    all.transient = holes * std::max(head, largest) + bytes(c_.vocab_size, c_.hidden_size);
    // Gradients of weights have many sizes, so that freed blocks wait for their like.
    if (step_.full) all.transient += static_cast<double>(kSpareTensors);
    return all;
  }

 private:
  double bytes(std::int64_t rows, std::int64_t columns) const {
    return element_ * static_cast<double>(rows) * static_cast<double>(columns);
  }
  bool encoder(std::int64_t layer) const { return layer < shape_.decoder().first_layer; }
  std::int64_t rows(std::int64_t layer) const { return encoder(layer) ? step_.source_rows : step_.rows; }
  /// Columns of the MLP's first product and of its activation.
  std::int64_t inner() const { return (c_.gated_mlp ? 3 : 2) * c_.intermediate_size; }
  /// Whether a gradient passes through a layer, and on to the layer below it.
  bool trains(std::int64_t layer) const { return layer >= first_adapted_; }

  std::int64_t adapted_parts(std::int64_t group) const {
    std::int64_t parts = 0;
    for (const std::int64_t linear : shape_.groups[static_cast<std::size_t>(group)].linears)
      parts += adapted_.contains(linear) ? 1 : 0;
    return parts;
  }

  /// What a group's adapter keeps: its input, where nothing else keeps that, and the product with A in fp32.
  double input_bytes(std::int64_t group, std::int64_t rows, bool kept_anyway) const {
    if (group < 0) return 0;
    const std::int64_t parts = adapted_parts(group);
    if (parts == 0 && !step_.full) return 0;
    const double low = 4 * static_cast<double>(rows) * (parts > 0 ? rank_ * static_cast<double>(parts) + 16 : 0);
    return low + (kept_anyway ? 0 : bytes(rows, shape_.groups[static_cast<std::size_t>(group)].in));
  }

  double layer_bytes(std::int64_t layer) const {
    if (!trains(layer)) return 0;
    const LayerWeights& w = shape_.layers[static_cast<std::size_t>(layer)];
    const bool last = layer + 1 == static_cast<std::int64_t>(shape_.layers.size());
    // Of the last layer only keys and values are computed for all rows.
    const std::int64_t n = rows(layer), m = last ? std::min(n, step_.labels) : n, d = c_.hidden_size,
                       q = c_.num_attention_heads * c_.head_dim, kv = c_.num_key_value_heads * c_.head_dim;
    const bool below = trains(layer - 1) && layer > 0;
    double kept = (below ? bytes(n, d) : 0) + bytes(m, q) + bytes(n, 2 * kv) + bytes(m, q + d);
    if (c_.qk_norm) kept += bytes(m, q) + bytes(n, kv);
    kept += input_bytes(w.self.input.index, n, false) + input_bytes(w.self.output.index, m, true);
    if (w.cross.input.index >= 0) {
      kept += bytes(m, q + q + d) + bytes(step_.source_rows, 2 * kv);
      kept += input_bytes(w.cross.input.index, m, false) + input_bytes(w.cross.memory.index, step_.source_rows, true) +
              input_bytes(w.cross.output.index, m, true);
    }
    kept += bytes(m, (c_.gated_mlp ? 2 : 1) * c_.intermediate_size);
    return kept + input_bytes(w.mlp_input.index, m, false) + input_bytes(w.mlp_output.index, m, false);
  }

  /// Inputs and outputs of the stacks' last norms.
  double last_states() const {
    return bytes(step_.labels, 2 * c_.hidden_size) + (trains(0) ? bytes(step_.source_rows, 2 * c_.hidden_size) : 0);
  }

  /// Copies of all linears for the forward pass, and in fp32 of those that a gradient passes for the backward pass.
  double packed() const {
    if (step_.full) return bound();
    if (half() && !keeps_packed(c_, step_.dtype)) return 0;
    double elements = 0;
    for (const GroupInfo& group : shape_.groups)
      elements += static_cast<double>(group.in * group.out) * (!half() && trains(group.layer) ? 2 : 1);
    const double head = static_cast<double>(c_.vocab_size * c_.hidden_size);
    return element_ * (elements + head * (!half() && step_.labels > 0 && step_.trained > 0 ? 2 : 1));
  }

  /// What a pass makes of weights that are trained: groups joined, and linears in the kernels' order, or all in bf16;
  /// of the head, whose gradient is the first, that order for the backward pass and the gradient. Other copies for the
  /// backward pass come as activations go.
  double bound() const {
    const double head = static_cast<double>(c_.vocab_size * c_.hidden_size);
    double joined = 0, linears = head;
    for (const GroupInfo& group : shape_.groups) {
      const auto elements = static_cast<double>(group.in * group.out);
      linears += elements;
      if (group.linears.size() > 1) joined += elements;
    }
    const double copies = half() ? kHalfHoles * (joined + static_cast<double>(step_.trained)) : joined + linears;
    return element_ * (static_cast<double>(step_.passes) * copies + 2 * head);
  }

  bool half() const { return step_.dtype == c10::ScalarType::BFloat16; }

  const TransformerConfig& c_;
  const TrainingCase& step_;
  ModelWeights shape_;  ///< names and sizes alone
  double element_;
  std::set<std::int64_t> adapted_;
  std::int64_t first_adapted_;
  double rank_ = 0;  ///< mean rank of the adapters
};

}  // namespace

MemoryEstimate estimate_memory(const TransformerConfig& config, const TrainingCase& step) {
  return Counter(config, step).run();
}

MemoryEstimate estimate_answering(const TransformerConfig& config, const AnsweringCase& answers) {
  const bool encoder = config.encoder_decoder();
  TrainingCase pass{.dtype = answers.dtype, .labels = answers.slots};
  (encoder ? pass.source_rows : pass.rows) = answers.slots * answers.prompt;
  MemoryEstimate all = Counter(config, pass).run();
  const auto rounded = [](std::int64_t n) { return (n + 15) / 16 * 16; };  // as KeyValueCache has them
  const std::int64_t own = (encoder ? 1 : answers.prompt) + answers.new_tokens,
                     positions = rounded(own) + (encoder ? rounded(answers.prompt) : 0),
                     layers = encoder ? config.num_decoder_layers : config.num_hidden_layers;
  all.activations = static_cast<double>(c10::elementSize(answers.dtype)) *
                    static_cast<double>(2 * layers * config.num_key_value_heads * rounded(config.head_dim)) *
                    static_cast<double>(answers.slots * positions);
  return all;
}

std::vector<LinearInfo> linears_of(const TransformerConfig& config) {
  return ModelWeights(config, c10::ScalarType::Float, c10::kCPU).linears;
}

std::int64_t parameter_count(const TransformerConfig& config) {
  std::int64_t count = 0;
  for (const auto& [name, shape] : weight_shapes(config)) {
    std::int64_t n = 1;
    for (const std::int64_t size : shape) n *= size;
    count += n;
  }
  return count;
}

std::string bytes_text(double bytes) {
  for (const auto& [unit, size] : {std::pair{"GB", 1e9}, std::pair{"MB", 1e6}, std::pair{"kB", 1e3}})
    if (bytes >= size) return fmt::format("{:.3g} {}", bytes / size, unit);
  return fmt::format("{:.0f} B", bytes);
}

}  // namespace mneme::model
