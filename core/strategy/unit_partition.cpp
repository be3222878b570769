#include "core/strategy/unit_partition.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <utility>

#include "core/base/error.h"

namespace mneme {

at::Tensor UnitPartition::Part::of(const at::Tensor& flat) const {
  return flat.narrow(0, offset, outer * units * inner).view({outer, units, inner});
}

UnitPartition UnitPartition::by_matrix(const std::vector<ParameterView>& views) {
  UnitPartition made;
  for (const ParameterView& view : views) {
    made.parts_.push_back({view.offset, 1, 1, view.size(), made.units_++});
    made.parameters_ += view.size();
  }
  return made;
}

UnitPartition UnitPartition::by_rank(const std::vector<ParameterView>& views, std::int64_t ranks) {
  MNEME_CHECK(ranks >= 1, "units of {} ranks were asked for; expected at least 1", ranks);
  UnitPartition made;
  std::map<std::pair<AdapterId, std::int64_t>, std::int64_t> first_units;  // by adapter and linear
  for (const ParameterView& view : views) {
    const bool is_a = view.role == ParameterRole::kLoraA;
    MNEME_CHECK(is_a || view.role == ParameterRole::kLoraB,
                "units by rank need low-rank adapters, but '{}' is no low-rank factor; use units by matrix", view.name);
    const std::int64_t rank = is_a ? view.shape[0] : view.shape[1], width = is_a ? view.shape[1] : view.shape[0];
    MNEME_CHECK(rank % ranks == 0, "units of {} ranks do not divide the rank {} of '{}'; choose a divisor of it", ranks,
                rank, view.name);
    const std::int64_t units = rank / ranks;
    const auto [entry, is_new] = first_units.try_emplace({view.adapter, view.linear}, made.units_);
    if (is_new) made.units_ += units;
    const Part part = is_a ? Part{view.offset, 1, units, ranks * width, entry->second}
                           : Part{view.offset, width, units, ranks, entry->second};
    made.parts_.push_back(part);
    made.parameters_ += view.size();
  }
  return made;
}

std::int64_t UnitPartition::inner_size() const {
  if (parts_.empty()) return 1;
  const auto like_first = [this](const Part& part) { return part.units == parts_.front().units; };
  return std::all_of(parts_.begin(), parts_.end(), like_first) ? parts_.front().units : 1;
}

at::Tensor UnitPartition::means(const at::Tensor& flat) const {
  at::Tensor sums = at::zeros({units_}, at::kDouble), counts = at::zeros({units_}, at::kDouble);
  for (const Part& part : parts_) {
    sums.narrow(0, part.first_unit, part.units).add_(part.of(flat).to(at::kDouble).sum(at::IntArrayRef{0, 2}));
    counts.narrow(0, part.first_unit, part.units).add_(static_cast<double>(part.outer * part.inner));
  }
  return sums / counts;
}

at::Tensor UnitPartition::products_of_means(const at::Tensor& flat) const {
  at::Tensor products = at::ones({units_}, at::kDouble);
  for (const Part& part : parts_)
    products.narrow(0, part.first_unit, part.units).mul_(part.of(flat).to(at::kDouble).mean(at::IntArrayRef{0, 2}));
  return products;
}

at::Tensor UnitPartition::spread(const at::Tensor& per_unit) const {
  at::Tensor flat = at::empty({parameters_}, at::kFloat);
  for (const Part& part : parts_)
    part.of(flat).copy_(per_unit.narrow(0, part.first_unit, part.units).view({1, part.units, 1}));
  return flat;
}

}  // namespace mneme
