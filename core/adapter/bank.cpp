#include "core/adapter/bank.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/adapter/adapter_entry.h"
#include "core/adapter/state.h"
#include "core/base/error.h"
#include "core/base/suggest.h"

namespace mneme {

using Kind = AdapterEntry::Kind;

AdapterBank::AdapterBank(std::shared_ptr<model::Transformer> model) : model_(std::move(model)) {
  values_ = at::zeros({0}, at::kFloat);
  gradient_ = at::zeros({0}, at::kFloat);
}
AdapterBank::~AdapterBank() = default;

AdapterEntry& AdapterBank::entry(AdapterId id) {
  for (auto& e : entries_)
    if (e->id == id) return *e;
  throw Error(fmt::format("no adapter has the id {}; it was removed or never made", id));
}
const AdapterEntry& AdapterBank::entry(AdapterId id) const { return const_cast<AdapterBank*>(this)->entry(id); }

AdapterId AdapterBank::add(AdapterEntry made) {
  for (const auto& e : entries_)
    if (e->name == made.name)
      throw Error(fmt::format("there is an adapter named '{}' already; choose another name", made.name));
  made.id = next_id_++;
  made.build(*model_);
  if (!made.values.defined()) made.values = at::zeros({made.size}, at::kFloat);
  entries_.push_back(std::make_unique<AdapterEntry>(std::move(made)));
  entries_.back()->rebuild_leaves(*model_);
  return entries_.back()->id;
}

AdapterId AdapterBank::create_lora(const std::string& name, const LoraOptions& options, RandomStream& rng) {
  MNEME_CHECK(options.rank > 0, "adapter '{}': rank is {}, it must be at least 1", name, options.rank);
  AdapterEntry made;
  made.name = name;
  made.kind = Kind::kLora;
  made.lora = options;
  const AdapterId id = add(std::move(made));
  AdapterEntry& e = entry(id);
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
  AdapterEntry made;
  made.name = name;
  made.kind = Kind::kFull;
  std::vector<at::Tensor> flat;
  for (const auto& [weight_name, weight] : model_->weights())
    flat.push_back(weight.detach().to(at::kCPU, at::kFloat).flatten());
  made.values = at::cat(flat);
  return add(std::move(made));
}

AdapterId AdapterBank::create_sparse(const std::string& name, std::vector<SparseSupport> supports) {
  AdapterEntry made;
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
  AdapterEntry made;
  made.name = name;
  made.kind = Kind::kFree;
  made.shape = std::move(shape);
  return add(std::move(made));
}

AdapterId AdapterBank::clone(AdapterId source, const std::string& name) {
  const AdapterEntry& from = entry(source);
  MNEME_CHECK(from.kind != Kind::kFull, "adapter '{}' is the model itself and cannot be cloned", from.name);
  AdapterEntry made = from;
  made.name = name;
  made.trained = false;
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
  const AdapterEntry& e = entry(id);
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
    e->rebuild_leaves(*model_);
  }
  values_ = at::empty({size}, at::kFloat);
  gradient_ = at::zeros({size}, at::kFloat);
  leaves_.clear();
  std::int64_t offset = 0;
  for (const AdapterId id : ids) {
    AdapterEntry& e = entry(id);
    at::Tensor part = values_.narrow(0, offset, e.size);
    part.copy_(e.values);
    e.values = part;
    e.trained = true;
    e.rebuild_leaves(*model_);
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
  const AdapterEntry& e = entry(id);
  // The view may come from views(), whose offsets are those of another vector: names tell.
  const auto own =
      std::find_if(e.views.begin(), e.views.end(), [&](const ParameterView& v) { return v.name == view.name; });
  if (own == e.views.end() || view.adapter != id)
    throw Error(fmt::format("parameter '{}' does not belong to adapter '{}'", view.name, e.name));
  std::size_t piece = 0;
  std::int64_t start = 0;
  while (own->offset >= start + e.piece_sizes[piece]) start += e.piece_sizes[piece++];
  return e.pieces[piece].flatten().narrow(0, own->offset - start, own->size()).view(own->shape);
}

void AdapterBank::interpolate(AdapterId dst, AdapterId src, double keep) {
  AdapterEntry& to = entry(dst);
  const AdapterEntry& from = entry(src);
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
    const AdapterEntry& e = entry(use.adapter);
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
  AdapterEntry same = entry(id);
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
    for (std::int64_t i = 0; i < count; ++i) entries_.push_back(std::make_unique<AdapterEntry>());
  }
  for (std::int64_t i = 0; i < count; ++i) {
    AdapterEntry& e = *entries_[static_cast<std::size_t>(i)];
    v.object(std::to_string(i), e);
    if (!v.loading()) continue;
    e.build(*model_);
    e.rebuild_leaves(*model_);
  }
  std::vector<std::int64_t> trained = trainable_;
  v.integers("trainable", trained);
  if (v.loading()) set_trainable(trained);
}

}  // namespace mneme
