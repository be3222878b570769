#include "core/adapter/bank.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/adapter/state.h"
#include "core/base/error.h"
#include "core/base/suggest.h"

namespace mneme {

std::int64_t ParameterView::size() const {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

at::Tensor ParameterView::of(const at::Tensor& flat) const { return flat.narrow(0, offset, size()).view(shape); }

namespace {
enum class Kind : std::int64_t { kLora, kFull, kSparse, kFree };

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

/// An adapter: a flat vector of values, cut into pieces that are leaves of the graph, and finer named views.
struct AdapterBank::Entry {
  AdapterId id = 0;
  std::string name;
  Kind kind = Kind::kFree;
  LoraOptions lora;
  std::vector<std::int64_t> shape;  // kFree
  std::vector<std::int64_t> support_linears;
  std::vector<at::Tensor> support_positions;

  // Derived from the above by build().
  std::vector<std::int64_t> piece_sizes;
  std::vector<std::shared_ptr<const model::LowRankLayout>> layouts;  // kLora: one per piece
  std::vector<std::int64_t> piece_groups;                            // kLora
  std::vector<double> piece_scales;                                  // kLora
  std::vector<ParameterView> views;
  std::vector<std::pair<std::string, at::Tensor>> model_weights;  // kFull: the model's own names and shapes
  std::int64_t size = 0;

  bool trained = false;
  at::Tensor values;               // fp32 [size]
  std::vector<at::Tensor> pieces;  // views of values; leaves with gradients when trained

  void visit_state(StateVisitor& v) {
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
};

AdapterBank::AdapterBank(std::shared_ptr<model::Transformer> model) : model_(std::move(model)) {
  values_ = at::zeros({0}, at::kFloat);
  gradient_ = at::zeros({0}, at::kFloat);
}
AdapterBank::~AdapterBank() = default;

AdapterBank::Entry& AdapterBank::entry(AdapterId id) {
  for (auto& e : entries_)
    if (e->id == id) return *e;
  throw Error(fmt::format("no adapter has the id {}; it was removed or never made", id));
}
const AdapterBank::Entry& AdapterBank::entry(AdapterId id) const { return const_cast<AdapterBank*>(this)->entry(id); }

void AdapterBank::build(Entry& e) {
  e.piece_sizes.clear(), e.layouts.clear(), e.piece_groups.clear(), e.piece_scales.clear(), e.views.clear(), e.size = 0;
  const auto add_view = [&e](std::string part, ParameterRole role, std::int64_t linear,
                             std::vector<std::int64_t> shape) {
    ParameterView view{e.name + "/" + part, e.id, role, linear, std::move(shape), e.size};
    e.size += view.size();
    e.views.push_back(std::move(view));
  };
  if (e.kind == Kind::kLora) {
    for (const LoraPiece& piece : lora_pieces(e.lora, model_->linears())) {
      const auto name_of = [&](std::int64_t linear) {
        return model_->linears()[static_cast<std::size_t>(linear)].name;
      };
      for (const auto& part : piece.layout->parts)
        add_view(name_of(part.linear) + ".lora_A", ParameterRole::kLoraA, part.linear,
                 {piece.layout->rank, piece.layout->in});
      for (const auto& part : piece.layout->parts)
        add_view(name_of(part.linear) + ".lora_B", ParameterRole::kLoraB, part.linear, {part.out, piece.layout->rank});
      e.piece_sizes.push_back(piece.layout->parameters());
      e.piece_groups.push_back(piece.group);
      e.piece_scales.push_back(piece.scale);
      e.layouts.push_back(piece.layout);
    }
    MNEME_CHECK(!e.layouts.empty(),
                "adapter '{}' has no target above layer {}; lower first_layer or name other targets", e.name,
                e.lora.first_layer);
  } else if (e.kind == Kind::kFull) {
    if (e.model_weights.empty()) e.model_weights = model_->weights();
    for (const auto& [name, weight] : e.model_weights) {
      add_view(name, ParameterRole::kWeight, -1, weight.sizes().vec());
      e.piece_sizes.push_back(weight.numel());
    }
  } else if (e.kind == Kind::kSparse) {
    for (std::size_t i = 0; i < e.support_linears.size(); ++i) {
      const std::int64_t linear = e.support_linears[i];
      add_view(model_->linears().at(static_cast<std::size_t>(linear)).name + ".sparse", ParameterRole::kWeight, linear,
               {e.support_positions[i].numel()});
      e.piece_sizes.push_back(e.support_positions[i].numel());
    }
  } else {
    add_view("value", ParameterRole::kFree, -1, e.shape);
    e.piece_sizes.push_back(e.size);
  }
}

void AdapterBank::rebuild_leaves(Entry& e) {
  e.pieces.clear();
  std::int64_t offset = 0;
  for (const std::int64_t size : e.piece_sizes) {
    e.pieces.push_back(e.values.narrow(0, offset, size).detach());
    offset += size;
  }
  if (e.kind != Kind::kFull) return;
  std::vector<std::pair<std::string, at::Tensor>> bound;
  for (std::size_t i = 0; i < e.pieces.size(); ++i) {
    // A weight keeps its shape; its leaf is the shaped view, so that the model can use it as it is.
    e.pieces[i] = e.pieces[i].view(e.model_weights[i].second.sizes()).detach();
    bound.emplace_back(e.model_weights[i].first, e.pieces[i]);
  }
  model_->bind_weights(bound);
}

AdapterId AdapterBank::add(Entry made) {
  for (const auto& e : entries_)
    if (e->name == made.name)
      throw Error(fmt::format("there is an adapter named '{}' already; choose another name", made.name));
  made.id = next_id_++;
  build(made);
  if (!made.values.defined()) made.values = at::zeros({made.size}, at::kFloat);
  entries_.push_back(std::make_unique<Entry>(std::move(made)));
  rebuild_leaves(*entries_.back());
  return entries_.back()->id;
}

AdapterId AdapterBank::create_lora(const std::string& name, const LoraOptions& options, RandomStream& rng) {
  MNEME_CHECK(options.rank > 0, "adapter '{}': rank is {}, it must be at least 1", name, options.rank);
  Entry made;
  made.name = name;
  made.kind = Kind::kLora;
  made.lora = options;
  const AdapterId id = add(std::move(made));
  Entry& e = entry(id);
  for (const auto& view : e.views) {
    if (view.role != ParameterRole::kLoraA) continue;
    // kaiming_uniform_ with a = sqrt(5) is uniform in ±1/sqrt(fan_in).
    const double bound = 1.0 / std::sqrt(static_cast<double>(view.shape[1]));
    float* data = e.values.data_ptr<float>() + view.offset;
    for (std::int64_t i = 0; i < view.size(); ++i) data[i] = static_cast<float>((2 * rng.uniform() - 1) * bound);
  }
  return id;
}

AdapterId AdapterBank::create_full(const std::string& name) {
  for (const auto& e : entries_)
    MNEME_CHECK(e->kind != Kind::kFull, "the model's weights belong to adapter '{}' already", e->name);
  Entry made;
  made.name = name;
  made.kind = Kind::kFull;
  std::vector<at::Tensor> flat;
  for (const auto& [weight_name, weight] : model_->weights()) flat.push_back(weight.detach().to(at::kFloat).flatten());
  made.values = at::cat(flat);
  return add(std::move(made));
}

AdapterId AdapterBank::create_sparse(const std::string& name, std::vector<SparseSupport> supports) {
  Entry made;
  made.name = name;
  made.kind = Kind::kSparse;
  for (auto& support : supports) {
    const auto& linear = model_->linears().at(static_cast<std::size_t>(support.linear));
    MNEME_CHECK(
        support.positions.numel() == 0 || (support.positions.min().item<std::int64_t>() >= 0 &&
                                           support.positions.max().item<std::int64_t>() < linear.in * linear.out),
        "adapter '{}': a position is outside the weight of {}", name, linear.name);
    MNEME_CHECK(std::find(made.support_linears.begin(), made.support_linears.end(), support.linear) ==
                    made.support_linears.end(),
                "adapter '{}': {} is there twice; put all its positions into one support", name, linear.name);
    made.support_linears.push_back(support.linear);
    made.support_positions.push_back(support.positions.contiguous());
  }
  return add(std::move(made));
}

AdapterId AdapterBank::create_free(const std::string& name, std::vector<std::int64_t> shape) {
  Entry made;
  made.name = name;
  made.kind = Kind::kFree;
  made.shape = std::move(shape);
  return add(std::move(made));
}

AdapterId AdapterBank::clone(AdapterId source, const std::string& name) {
  const Entry& from = entry(source);
  MNEME_CHECK(from.kind != Kind::kFull, "adapter '{}' is the model itself and cannot be cloned", from.name);
  Entry made;
  made.name = name;
  made.kind = from.kind;
  made.lora = from.lora;
  made.shape = from.shape;
  made.support_linears = from.support_linears;
  made.support_positions = from.support_positions;
  made.values = from.values.detach().clone();
  return add(std::move(made));
}

void AdapterBank::remove(AdapterId id) {
  MNEME_CHECK(!entry(id).trained, "adapter '{}' is being trained; choose other trainable adapters first",
              entry(id).name);
  std::erase_if(entries_, [id](const auto& e) { return e->id == id; });
}

std::vector<AdapterId> AdapterBank::ids() const {
  std::vector<AdapterId> all;
  for (const auto& e : entries_) all.push_back(e->id);
  return all;
}

const std::string& AdapterBank::name(AdapterId id) const { return entry(id).name; }

AdapterId AdapterBank::find(const std::string& name) const {
  std::vector<std::string> names;
  for (const auto& e : entries_) {
    if (e->name == name) return e->id;
    names.push_back(e->name);
  }
  throw Error(fmt::format("there is no adapter '{}'{}", name, hint(name, names)));
}

const LoraOptions* AdapterBank::lora_options(AdapterId id) const {
  const Entry& e = entry(id);
  return e.kind == Kind::kLora ? &e.lora : nullptr;
}

void AdapterBank::set_trainable(const std::vector<AdapterId>& ids) {
  std::int64_t size = 0;
  for (const AdapterId id : ids) {
    MNEME_CHECK(std::count(ids.begin(), ids.end(), id) == 1, "adapter '{}' is named twice among the trainable ones",
                entry(id).name);
    size += entry(id).size;
  }
  for (auto& e : entries_) {
    if (!e->trained) continue;
    e->trained = false;
    e->values = e->values.detach().clone();  // the flat vector that it was part of is given up
    rebuild_leaves(*e);
  }
  values_ = at::empty({size}, at::kFloat);
  gradient_ = at::zeros({size}, at::kFloat);
  leaves_.clear();
  std::int64_t offset = 0;
  for (const AdapterId id : ids) {
    Entry& e = entry(id);
    at::Tensor part = values_.narrow(0, offset, e.size);
    part.copy_(e.values);
    e.values = part;
    e.trained = true;
    rebuild_leaves(e);
    std::int64_t piece_offset = offset;
    for (auto& piece : e.pieces) {
      piece.set_requires_grad(true);
      // Gradients accumulate in place into the flat vector; they are zeroed, never dropped.
      piece.mutable_grad() = gradient_.narrow(0, piece_offset, piece.numel()).view(piece.sizes());
      piece_offset += piece.numel();
      leaves_.push_back(piece);
    }
    offset += e.size;
  }
  trainable_ = ids;
}

const std::vector<AdapterId>& AdapterBank::trainable() const { return trainable_; }
at::Tensor AdapterBank::values() const { return values_; }
at::Tensor AdapterBank::gradient() const { return gradient_; }
const std::vector<at::Tensor>& AdapterBank::leaves() const { return leaves_; }

std::vector<ParameterView> AdapterBank::views() const {
  std::vector<ParameterView> all;
  std::int64_t offset = 0;
  for (const AdapterId id : trainable_) {
    for (ParameterView view : entry(id).views) {
      view.offset += offset;
      all.push_back(std::move(view));
    }
    offset += entry(id).size;
  }
  return all;
}

at::Tensor AdapterBank::values(AdapterId id) const { return entry(id).values; }
std::vector<ParameterView> AdapterBank::views(AdapterId id) const { return entry(id).views; }

at::Tensor AdapterBank::tensor(AdapterId id, const ParameterView& view) const {
  const Entry& e = entry(id);
  // The view may come from views(), whose offsets are those of another vector: names tell.
  const auto own = std::find_if(e.views.begin(), e.views.end(), [&](const ParameterView& v) { return v.name == view.name; });
  if (own == e.views.end() || view.adapter != id)
    throw Error(fmt::format("parameter '{}' does not belong to adapter '{}'", view.name, e.name));
  std::size_t piece = 0;
  std::int64_t start = 0;
  while (own->offset >= start + e.piece_sizes[piece]) start += e.piece_sizes[piece++];
  return e.pieces[piece].flatten().narrow(0, own->offset - start, own->size()).view(own->shape);
}

void AdapterBank::interpolate(AdapterId dst, AdapterId src, double keep) {
  Entry& to = entry(dst);
  const Entry& from = entry(src);
  MNEME_CHECK(to.kind == from.kind && to.size == from.size,
              "adapters '{}' ({} parameters) and '{}' ({}) differ in kind or size", to.name, to.size, from.name,
              from.size);
  at::Tensor target = to.values.detach();
  if (keep == 0.0)
    target.copy_(from.values.detach());
  else
    target.mul_(keep).add_(from.values.detach(), 1.0 - keep);
}

model::ActiveAdapters AdapterBank::resolve(const ForwardSpec& spec) const {
  model::ActiveAdapters active;
  active.prefix = spec.prefix;
  for (const AdapterUse& use : spec.adapters) {
    const Entry& e = entry(use.adapter);
    if (e.kind == Kind::kLora) {
      if (active.groups.empty()) active.groups.resize(model_->groups().size());
      for (std::size_t i = 0; i < e.pieces.size(); ++i)
        active.groups[static_cast<std::size_t>(e.piece_groups[i])].push_back(
            {e.pieces[i], e.layouts[i], e.piece_scales[i] * use.coefficient, spec.dropout ? e.lora.dropout : 0.0,
             use.gate});
    } else if (e.kind == Kind::kSparse) {
      for (std::size_t i = 0; i < e.pieces.size(); ++i) {
        const auto& linear = model_->linears()[static_cast<std::size_t>(e.support_linears[i])];
        const at::Tensor dense = at::zeros({linear.out * linear.in}, e.pieces[i].options().requires_grad(false));
        active.weights.push_back({e.support_linears[i],
                                  dense.index_put({e.support_positions[i]}, e.pieces[i]).view({linear.out, linear.in}),
                                  use.coefficient, use.gate});
      }
    } else {
      MNEME_CHECK(e.kind == Kind::kFull,
                  "adapter '{}' is a free parameter: use tensor() to build a prefix or a gate of it", e.name);
    }
  }
  return active;
}

std::string AdapterBank::digest(AdapterId id) const {
  Entry same = entry(id);
  same.id = 0, same.name.clear();
  StateHasher hasher;
  same.visit_state(hasher);
  return hasher.hex();
}

void AdapterBank::visit_state(StateVisitor& v) {
  if (v.loading()) set_trainable({});
  auto count = static_cast<std::int64_t>(entries_.size());
  v.integer("count", count);
  v.integer("next_id", next_id_);
  if (v.loading()) {
    entries_.clear();
    for (std::int64_t i = 0; i < count; ++i) entries_.push_back(std::make_unique<Entry>());
  }
  for (std::int64_t i = 0; i < count; ++i) {
    Entry& e = *entries_[static_cast<std::size_t>(i)];
    v.object(std::to_string(i), e);
    if (!v.loading()) continue;
    build(e);
    rebuild_leaves(e);
  }
  std::vector<std::int64_t> trained = trainable_;
  v.integers("trainable", trained);
  if (v.loading()) set_trainable(trained);
}

}  // namespace mneme
