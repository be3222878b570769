#include "core/adapter/adapter_entry.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>

#include "core/adapter/state.h"
#include "core/base/error.h"

namespace mneme {
namespace {

/// A table of patterns as text: "key=value", exactly.
template <class Value>
void visit_pattern(StateVisitor& v, const std::string& name, std::map<std::string, Value>& table) {
  std::vector<std::string> lines;
  for (const auto& [key, value] : table) lines.push_back(fmt::format("{}={}", key, value));
  v.texts(name, lines);
  if (!v.loading()) return;
  table.clear();
  for (const std::string& line : lines) {
    const auto equals = line.rfind('=');
    table[line.substr(0, equals)] = static_cast<Value>(std::stod(line.substr(equals + 1)));
  }
}

/// Linears of one group that share a rank and a scale: one slice of the flat vector.
struct LoraPiece {
  std::int64_t group;
  double scale;
  std::shared_ptr<model::LowRankLayout> layout;
};

std::vector<LoraPiece> lora_pieces(const LoraOptions& options, const std::vector<model::LinearInfo>& linears) {
  std::vector<LoraPiece> pieces;
  for (const LoraTarget& target : lora_targets(options, linears)) {
    const model::LinearInfo& linear = linears[static_cast<std::size_t>(target.linear)];
    auto piece = std::find_if(pieces.begin(), pieces.end(), [&](const LoraPiece& p) {
      return p.group == linear.group && p.layout->rank == target.rank && p.scale == target.scale;
    });
    if (piece == pieces.end()) {
      piece = pieces.insert(pieces.end(), {linear.group, target.scale, std::make_shared<model::LowRankLayout>()});
      piece->layout->rank = target.rank;
      piece->layout->in = linear.in;
    }
    piece->layout->parts.push_back({target.linear, linear.first_column, linear.out});
  }
  return pieces;
}

}  // namespace

void AdapterEntry::build(const model::Transformer& model) {
  piece_sizes.clear(), layouts.clear(), piece_groups.clear(), piece_scales.clear(), views.clear(), size = 0;
  const auto add_view = [this](std::string part, ParameterRole role, std::int64_t linear,
                               std::vector<std::int64_t> extents) {
    ParameterView view{name + "/" + part, id, role, linear, std::move(extents), size};
    size += view.size();
    views.push_back(std::move(view));
  };
  if (kind == Kind::kLora) {
    for (const LoraPiece& piece : lora_pieces(lora, model.linears())) {
      const auto name_of = [&](std::int64_t linear) { return model.linears()[static_cast<std::size_t>(linear)].name; };
      for (const auto& part : piece.layout->parts)
        add_view(name_of(part.linear) + ".lora_A", ParameterRole::kLoraA, part.linear,
                 {piece.layout->rank, piece.layout->in});
      for (const auto& part : piece.layout->parts)
        add_view(name_of(part.linear) + ".lora_B", ParameterRole::kLoraB, part.linear, {part.out, piece.layout->rank});
      piece_sizes.push_back(piece.layout->parameters());
      piece_groups.push_back(piece.group);
      piece_scales.push_back(piece.scale);
      layouts.push_back(piece.layout);
    }
    MNEME_CHECK(!layouts.empty(), "adapter '{}' has no target above layer {}; lower first_layer or name other targets",
                name, lora.first_layer);
  } else if (kind == Kind::kFull) {
    if (model_weights.empty()) model_weights = model.weights();
    for (const auto& [weight_name, weight] : model_weights) {
      add_view(weight_name, ParameterRole::kWeight, -1, weight.sizes().vec());
      piece_sizes.push_back(weight.numel());
    }
  } else if (kind == Kind::kSparse) {
    for (std::size_t i = 0; i < support_linears.size(); ++i) {
      const std::int64_t linear = support_linears[i];
      add_view(model.linears().at(static_cast<std::size_t>(linear)).name + ".sparse", ParameterRole::kWeight, linear,
               {support_positions[i].numel()});
      piece_sizes.push_back(support_positions[i].numel());
    }
  } else {
    add_view("value", ParameterRole::kFree, -1, shape);
    piece_sizes.push_back(size);
  }
}

void AdapterEntry::rebuild_leaves(model::Transformer& model) {
  pieces.clear();
  std::int64_t offset = 0;
  for (const std::int64_t length : piece_sizes) {
    pieces.push_back(values.narrow(0, offset, length).detach());
    offset += length;
  }
  if (kind != Kind::kFull) return;
  std::vector<std::pair<std::string, at::Tensor>> bound;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    // A weight keeps its shape; its leaf is the shaped view, so that the model can use it as it is.
    pieces[i] = pieces[i].view(model_weights[i].second.sizes()).detach();
    bound.emplace_back(model_weights[i].first, pieces[i]);
  }
  model.bind_weights(bound);
}

void AdapterEntry::visit_state(StateVisitor& v) {
  auto kind_number = static_cast<std::int64_t>(kind);
  v.integer("kind", kind_number);
  kind = static_cast<Kind>(kind_number);
  v.integer("id", id);
  v.text("name", name);
  v.integer("rank", lora.rank);
  v.real("alpha", lora.alpha);
  v.real("dropout", lora.dropout);
  v.integer("first_layer", lora.first_layer);
  v.texts("targets", lora.targets);
  v.flag("rank_stabilised", lora.rank_stabilised);
  visit_pattern(v, "rank_pattern", lora.rank_pattern);
  visit_pattern(v, "alpha_pattern", lora.alpha_pattern);
  v.integers("shape", shape);
  v.integers("support_linears", support_linears);
  v.tensors("support_positions", support_positions);
  v.tensor("values", values);
}

}  // namespace mneme
