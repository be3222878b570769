#include "core/model/memory_estimate.h"

#include <c10/core/ScalarType.h>
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>

#include "core/model/weights.h"

namespace mneme::model {
namespace {

constexpr double kProgram = 330e6;  // resident pages of the program and of LibTorch, measured

/// Sums what one step keeps, layer by layer.
class Counter {
 public:
  Counter(const TransformerConfig& config, const TrainingCase& step)
      : c_(config),
        step_(step),
        shape_(config, step.dtype),
        element_(static_cast<double>(c10::elementSize(step.dtype))),
        adapted_(step.adapted.begin(), step.adapted.end()),
        first_adapted_(std::numeric_limits<std::int64_t>::max()) {
    for (const std::int64_t linear : step.adapted)
      first_adapted_ = std::min(first_adapted_, shape_.linears[static_cast<std::size_t>(linear)].layer);
    if (step.full) first_adapted_ = 0;
  }

  MemoryEstimate run() {
    MemoryEstimate all;
    all.program = kProgram;
    all.weights = element_ * static_cast<double>(parameter_count(c_));
    all.packed = packed();
    all.training = 16 * static_cast<double>(step_.trained);
    const double head = 2 * element_ * static_cast<double>(step_.labels * c_.vocab_size);
    double largest = 0;
    for (const StackWeights& stack : shape_.stacks) {
      for (std::int64_t layer = stack.first_layer; layer < stack.end_layer; ++layer) {
        const double kept = layer_bytes(layer);
        all.activations += step_.recompute ? std::min(kept, bytes(rows(layer), c_.hidden_size)) : kept;
        largest = std::max({largest, bytes(rows(layer), 3 * c_.intermediate_size + 3 * c_.hidden_size),
                            step_.recompute ? kept + bytes(rows(layer), 3 * c_.intermediate_size) : 0.0});
      }
    }
    all.transient = std::max(head, largest);
    return all;
  }

 private:
  double bytes(std::int64_t rows, std::int64_t columns) const {
    return element_ * static_cast<double>(rows) * static_cast<double>(columns);
  }
  bool encoder(std::int64_t layer) const { return layer < shape_.decoder().first_layer; }
  std::int64_t rows(std::int64_t layer) const { return encoder(layer) ? step_.source_rows : step_.rows; }
  /// Whether a gradient passes through a layer, and on to the layer below it.
  bool trains(std::int64_t layer) const { return layer >= first_adapted_; }

  bool adapted(std::int64_t group) const {
    if (step_.full) return true;
    for (const std::int64_t linear : shape_.groups[static_cast<std::size_t>(group)].linears)
      if (adapted_.contains(linear)) return true;
    return false;
  }

  /// Input of a group that its adapter's gradient needs, where nothing else keeps it.
  double input_bytes(std::int64_t group, std::int64_t rows, bool kept_anyway) const {
    if (group < 0 || !adapted(group)) return 0;
    const auto width = static_cast<double>(rows * shape_.groups[static_cast<std::size_t>(group)].in);
    return kept_anyway ? 0 : element_ * width;
  }

  double layer_bytes(std::int64_t layer) const {
    if (!trains(layer)) return 0;
    const LayerWeights& w = shape_.layers[static_cast<std::size_t>(layer)];
    const std::int64_t n = rows(layer), d = c_.hidden_size, q = c_.num_attention_heads * c_.head_dim,
                       kv = c_.num_key_value_heads * c_.head_dim, f = c_.intermediate_size;
    const bool below = trains(layer - 1) && layer > 0;
    double kept = (below ? bytes(n, d) : 0) + bytes(n, q + 2 * kv + q) + bytes(n, d);
    kept += input_bytes(w.self.input.index, n, false) + input_bytes(w.self.output.index, n, true);
    if (w.cross.input.index >= 0) {
      kept += bytes(n, q + q + d) + bytes(step_.source_rows, 2 * kv);
      kept += input_bytes(w.cross.input.index, n, false) + input_bytes(w.cross.output.index, n, true);
    }
    kept += bytes(n, c_.gated_mlp ? 2 * f : f);
    return kept + input_bytes(w.mlp_input.index, n, false) + input_bytes(w.mlp_output.index, n, false);
  }

  /// Copies of all linears for the forward pass, and in fp32 of those that a gradient passes for the backward pass.
  double packed() const {
    if (!keeps_packed(c_, step_.dtype) || step_.full) return 0;
    const bool backward = step_.dtype == c10::ScalarType::Float;
    double elements = 0;
    for (const GroupInfo& group : shape_.groups)
      elements += static_cast<double>(group.in * group.out) * (backward && trains(group.layer) ? 2 : 1);
    const double head = static_cast<double>(c_.vocab_size * c_.hidden_size);
    return element_ * (elements + head * (backward && step_.labels > 0 && step_.trained > 0 ? 2 : 1));
  }

  const TransformerConfig& c_;
  const TrainingCase& step_;
  ModelWeights shape_;  ///< names and sizes alone
  double element_;
  std::set<std::int64_t> adapted_;
  std::int64_t first_adapted_;
};

}  // namespace

MemoryEstimate estimate_memory(const TransformerConfig& config, const TrainingCase& step) {
  return Counter(config, step).run();
}

std::vector<LinearInfo> linears_of(const TransformerConfig& config) {
  return ModelWeights(config, c10::ScalarType::Float).linears;
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
