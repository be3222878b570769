#include "units.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace seta {

namespace {
using mneme::AdapterBank;
using mneme::AdapterId;
using mneme::ParameterRole;
using mneme::ParameterView;

/// The views of one linear: A and B, or the elements.
using LinearViews = std::vector<const ParameterView*>;

/// Calls f(position, views) for each linear in the order of the views.
template <class F>
void for_linears(const std::vector<ParameterView>& views, const F& f) {
  std::vector<std::int64_t> linears;
  std::map<std::int64_t, LinearViews> by_linear;
  for (const ParameterView& view : views) {
    if (!by_linear.contains(view.linear)) linears.push_back(view.linear);
    by_linear[view.linear].push_back(&view);
  }
  for (std::size_t i = 0; i < linears.size(); ++i) f(i, linears[i], by_linear[linears[i]]);
}

/// What a view contributes to the rows of units: a row per unit.
at::Tensor unit_part(const ParameterView& view, const at::Tensor& flat) {
  const at::Tensor part = view.of(flat);
  if (view.role == ParameterRole::kLoraA) return part;
  if (view.role == ParameterRole::kLoraB) return part.t();
  return part.unsqueeze(1);
}
}  // namespace

std::vector<at::Tensor> to_units(const AdapterBank& bank, AdapterId adapter, const at::Tensor& flat) {
  std::vector<at::Tensor> units;
  for_linears(bank.views(adapter), [&](std::size_t, std::int64_t, const LinearViews& views) {
    std::vector<at::Tensor> parts;
    for (const ParameterView* view : views) parts.push_back(unit_part(*view, flat));
    units.push_back(at::cat(parts, 1));
  });
  return units;
}

at::Tensor from_units(const AdapterBank& bank, AdapterId adapter, const std::vector<at::Tensor>& units) {
  at::Tensor flat = at::zeros_like(bank.values(adapter).detach());
  for_linears(bank.views(adapter), [&](std::size_t i, std::int64_t, const LinearViews& views) {
    std::int64_t column = 0;
    for (const ParameterView* view : views) {
      at::Tensor part = unit_part(*view, flat);
      part.copy_(units[i].narrow(1, column, part.size(1)));
      column += part.size(1);
    }
  });
  return flat;
}

std::vector<std::int64_t> linears_of(const AdapterBank& bank, AdapterId adapter) {
  std::vector<std::int64_t> linears;
  for_linears(bank.views(adapter),
              [&](std::size_t, std::int64_t linear, const LinearViews&) { linears.push_back(linear); });
  return linears;
}

Matches match(const at::Tensor& first, const at::Tensor& second) {
  if (first.numel() == 0 || second.numel() == 0) return {at::empty({0}, at::kLong), at::empty({0}, at::kLong)};
  const auto [sorted, order] = second.sort();
  const at::Tensor place = at::searchsorted(sorted, first).clamp_max(second.numel() - 1);
  const at::Tensor hit = (sorted.index_select(0, place) == first).nonzero().squeeze(1);
  return {hit, order.index_select(0, place.index_select(0, hit))};
}

std::vector<Pool> UnitTable::pools() const {
  std::vector<Pool> all;
  for (std::size_t i = 0; !tasks.empty() && i < tasks.begin()->second.ids.size(); ++i) {
    std::vector<at::Tensor> ids, columns;
    for (const auto& [task, units] : tasks) {
      columns.push_back(at::full_like(units.ids[i], static_cast<std::int64_t>(ids.size())));
      ids.push_back(units.ids[i]);
    }
    const auto [different, place] = at::_unique(at::cat(ids), /*sorted=*/true, /*return_inverse=*/true);
    at::Tensor members = at::zeros({different.numel(), static_cast<std::int64_t>(tasks.size())}, at::kBool);
    members.index_put_({place, at::cat(columns)}, at::ones({}, at::kBool));
    all.push_back({different, members});
  }
  return all;
}

std::vector<at::Tensor> UnitTable::rows(const AdapterBank& bank, const std::vector<at::Tensor>& ids, Of of) const {
  std::vector<at::Tensor> result(ids.size());
  for (const auto& [task, units] : tasks) {
    if (of == Of::kImportance && units.importance.empty()) continue;
    const auto own =
        of == Of::kImportance ? units.importance : to_units(bank, units.adapter, bank.values(units.adapter).detach());
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (!result[i].defined()) result[i] = at::zeros({ids[i].numel(), own[i].size(1)}, at::kFloat);
      const Matches pairs = match(ids[i], units.ids[i]);
      result[i].index_copy_(0, pairs.first, own[i].index_select(0, pairs.second));
    }
  }
  return result;
}

void UnitTable::spread(AdapterBank& bank, std::int64_t task) {
  const TaskUnits& source = tasks.at(task);
  const auto values = to_units(bank, source.adapter, bank.values(source.adapter).detach());
  for (auto& [other, target] : tasks) {
    if (other == task) continue;
    auto changed = to_units(bank, target.adapter, bank.values(target.adapter).detach().clone());
    bool any = false;
    for (std::size_t i = 0; i < changed.size(); ++i) {
      const Matches pairs = match(target.ids[i], source.ids[i]);
      if (pairs.first.numel() == 0) continue;
      any = true;
      changed[i].index_copy_(0, pairs.first, values[i].index_select(0, pairs.second));
      target.importance[i].index_copy_(0, pairs.first, source.importance[i].index_select(0, pairs.second));
    }
    if (any) bank.values(target.adapter).detach().copy_(from_units(bank, target.adapter, changed));
  }
}

UnitTable::Owners UnitTable::owners(std::int64_t task) const {
  const auto all = pools();
  std::vector<at::Tensor> members;
  for (const at::Tensor& ids : tasks.at(task).ids) {
    const Pool& pool = all[members.size()];
    members.push_back(pool.members.index_select(0, match(ids, pool.ids).second));
  }
  const at::Tensor joined = at::cat(members);
  return {std::get<1>(at::unique_dim(joined.to(at::kLong), 0, true, true)), joined.to(at::kLong).sum(1)};
}

UnitTable::Experts UnitTable::experts(const AdapterBank& bank) const {
  std::vector<at::Tensor> members, widths;
  if (tasks.empty()) return {at::zeros({0, 0}, at::kLong), at::zeros({0}, at::kDouble)};
  const AdapterId adapter = tasks.begin()->second.adapter;
  const auto units = to_units(bank, adapter, bank.values(adapter).detach());
  for (const Pool& pool : pools()) {
    const auto width = static_cast<double>(units[members.size()].size(1));
    members.push_back(pool.members.to(at::kLong));
    widths.push_back(at::full({pool.ids.numel()}, width, at::kDouble));
  }
  const auto [experts, expert, counts] = at::unique_dim(at::cat(members), 0, true, true);
  return {experts, at::zeros({experts.size(0)}, at::kDouble).index_add_(0, expert, at::cat(widths))};
}

void UnitTable::visit_state(mneme::StateVisitor& visitor) {
  std::vector<std::int64_t> known;
  for (const auto& [task, units] : tasks) known.push_back(task);
  visitor.integers("tasks", known);
  if (visitor.loading()) tasks.clear();
  for (const std::int64_t task : known) {
    TaskUnits& units = tasks[task];
    const std::string scope = std::to_string(task);
    visitor.integer(scope + "/adapter", units.adapter);
    visitor.tensors(scope + "/ids", units.ids);
    visitor.tensors(scope + "/importance", units.importance);
  }
}

}  // namespace seta
