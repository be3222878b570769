#include "localise.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>

namespace seta {

namespace {
using mneme::AdapterBank;
using mneme::AdapterId;
using mneme::Dataset;
using mneme::ForwardSpec;
using mneme::Learner;
using mneme::TaskView;

/// Batches of training samples in a random order that their number alone decides: the same task again is measured on
/// the same batches.
std::vector<mneme::Batch> calibration(Learner& learner, const TaskView& task, std::int64_t count) {
  auto random = learner.random("calibration");
  const auto order = random.permutation(static_cast<std::int64_t>(task.train.size()));
  const auto size = static_cast<std::size_t>(std::max<std::int64_t>(1, learner.options().pass_batch));
  std::vector<mneme::Batch> batches;
  for (std::size_t i = 0; i < order.size() && static_cast<std::int64_t>(batches.size()) < count; i += size) {
    Dataset part;
    for (std::size_t k = i; k < std::min(order.size(), i + size); ++k)
      part.push_back(task.train[static_cast<std::size_t>(order[k])]);
    batches.push_back(mneme::make_batch(std::move(part)));
  }
  return batches;
}

/// Elements whose dense gradients exist together.
constexpr std::int64_t kAtOnce = std::int64_t{1} << 26;

/// A number per element, for choices by chance.
at::Tensor random_scores(mneme::RandomStream& random, std::int64_t count) {
  at::Tensor scores = at::empty({count}, at::kFloat);
  for (std::int64_t i = 0; i < count; ++i) scores.data_ptr<float>()[i] = static_cast<float>(random.uniform());
  return scores;
}

/// Scores of rank-one components at the pretrained weights, for each linear: of the pool's units, then of the rows of a
/// new adapter. A component that enters as c · b aᵀ has d loss / dc = ⟨dW, b aᵀ⟩: an old unit scores what a little of
/// it takes off the loss, -bᵀ dW a / (|a| |b|), a new row the most that any b could, |dW a| / |a|. (The product of mean
/// sensitivities |A gA| |B gB| is zero for every new row, whose B is zero.)
class ComponentScores {
 public:
  /// \param old values of the pool's units [units, in + out] by linear
  ComponentScores(Learner& learner, std::vector<at::Tensor> old, AdapterId fresh)
      : learner_(learner), old_(std::move(old)) {
    AdapterBank& bank = learner.bank();
    new_ = to_units(bank, fresh, bank.values(fresh).detach());
    for (const std::int64_t linear : linears_of(bank, fresh))
      inputs_.push_back(learner.model().linears()[static_cast<std::size_t>(linear)].in);
    options_ = *bank.lora_options(fresh);
    options_.rank_pattern.clear();  // as many components everywhere as the fullest linear has
    options_.alpha_pattern.clear();
    for (std::size_t i = 0; i < new_.size(); ++i)
      options_.rank = std::max(options_.rank, new_[i].size(0) + old_[i].size(0));
  }

  std::vector<at::Tensor> measure(const std::vector<mneme::Batch>& batches) {
    AdapterBank& bank = learner_.bank();
    auto unused = learner_.random("probe");
    const AdapterId probe = bank.create_lora("probe", options_, unused);
    auto units = to_units(bank, probe, at::zeros_like(bank.values(probe)));
    for (std::size_t i = 0; i < units.size(); ++i) {
      const at::Tensor rows = at::cat({a(i, old_[i]), a(i, new_[i])});
      a(i, units[i]).narrow(0, 0, rows.size(0)).copy_(rows);
    }
    bank.set_trainable({probe});
    bank.values().copy_(from_units(bank, probe, units));
    const auto slopes = to_units(bank, probe, mean_gradient(batches));
    std::vector<at::Tensor> scores;
    for (std::size_t i = 0; i < slopes.size(); ++i) scores.push_back(score(i, b(i, slopes[i])));
    bank.set_trainable({});
    bank.remove(probe);
    return scores;
  }

 private:
  at::Tensor a(std::size_t i, const at::Tensor& rows) const { return rows.narrow(1, 0, inputs_[i]); }
  at::Tensor b(std::size_t i, const at::Tensor& rows) const {
    return rows.narrow(1, inputs_[i], rows.size(1) - inputs_[i]);
  }

  at::Tensor mean_gradient(const std::vector<mneme::Batch>& batches) {
    ForwardSpec spec = learner_.active();
    spec.dropout = false;
    at::Tensor sum = at::zeros_like(learner_.bank().values());
    for (const mneme::Batch& batch : batches) sum += learner_.gradient_on(spec, batch);
    return sum / static_cast<double>(std::max<std::size_t>(1, batches.size()));
  }

  /// \param slopes dW a of each unit [units, out]
  at::Tensor score(std::size_t i, const at::Tensor& slopes) const {
    constexpr double kTiny = 1e-20;
    const std::int64_t known = old_[i].size(0);
    const at::Tensor fresh = slopes.narrow(0, known, new_[i].size(0)).norm(2, 1) / (a(i, new_[i]).norm(2, 1) + kTiny);
    const at::Tensor gain = -(b(i, old_[i]) * slopes.narrow(0, 0, known)).sum(1);
    return at::cat({gain / (a(i, old_[i]).norm(2, 1) * b(i, old_[i]).norm(2, 1) + kTiny), fresh});
  }

  Learner& learner_;
  mneme::LoraOptions options_;
  std::vector<std::int64_t> inputs_;
  std::vector<at::Tensor> old_, new_;  // [units, in + out] by linear
};

/// Sensitivity of single elements, mean over batches of |w · dw| if weighted, else of dw²: [out · in] for each linear.
std::vector<at::Tensor> element_scores(Learner& learner, const std::vector<std::int64_t>& linears,
                                       const std::vector<mneme::Batch>& batches, bool weighted) {
  std::map<std::string, at::Tensor> weights;
  for (const auto& [name, weight] : learner.model().weights()) weights[name] = weight.detach();
  std::vector<at::Tensor> scores;
  for (std::size_t first = 0, last = 0; first < linears.size(); first = last) {
    std::vector<mneme::SparseSupport> all;
    std::vector<at::Tensor> values;
    for (std::int64_t elements = 0; last < linears.size() && (last == first || elements < kAtOnce); ++last) {
      const auto& linear = learner.model().linears()[static_cast<std::size_t>(linears[last])];
      all.push_back({linears[last], at::arange(linear.out * linear.in, at::kLong)});
      values.push_back(weights.at(linear.name + ".weight").to(at::kCPU, at::kFloat).flatten());
      elements += values.back().numel();
    }
    const AdapterId probe = learner.bank().create_sparse("probe", all);
    learner.bank().set_trainable({probe});
    const at::Tensor weight = at::cat(values);
    at::Tensor sum = at::zeros_like(weight);
    for (const mneme::Batch& batch : batches) {
      const at::Tensor slope = learner.gradient_on(learner.active(), batch);
      sum += weighted ? (weight * slope).abs() : slope.square();
    }
    for (const mneme::ParameterView& view : learner.bank().views(probe)) scores.push_back(view.of(sum));
    learner.bank().set_trainable({});
    learner.bank().remove(probe);
  }
  return scores;
}

/// The ids of each linear's units that earlier tasks hold.
std::vector<at::Tensor> known_units(const std::vector<Pool>& pools, std::size_t linears) {
  std::vector<at::Tensor> ids(linears, at::empty({0}, at::kLong));
  for (std::size_t i = 0; i < pools.size(); ++i) ids[i] = pools[i].ids;
  return ids;
}

/// Indices of the largest scores, ascending.
at::Tensor largest(const at::Tensor& scores, std::int64_t count) {
  return std::get<0>(std::get<1>(scores.topk(std::min(count, scores.numel()))).sort());
}

/// Decides which units of earlier tasks a new task may share.
class Sharing {
 public:
  Sharing(const std::vector<Pool>& pools, const LocaliseOptions& options) : options_(options) {
    std::vector<at::Tensor> members;
    for (const Pool& pool : pools) {
      ids_.push_back(pool.ids);
      members.push_back(pool.members.to(at::kLong));
    }
    if (ids_.empty()) return;
    at::Tensor expert;
    std::tie(experts_, expert, units_) = at::unique_dim(at::cat(members), 0, true, true);
    std::int64_t start = 0;
    for (const at::Tensor& ids : ids_) {
      owner_.push_back(expert.narrow(0, start, ids.numel()));
      start += ids.numel();
    }
  }

  /// \param wanted per linear the pool's units that the task would take; sizes: units that it takes in all
  /// \return per linear the ids that it takes, ascending
  std::vector<at::Tensor> allowed(const std::vector<at::Tensor>& wanted, const std::vector<std::int64_t>& sizes) const {
    if (ids_.empty() || !options_.share) return std::vector<at::Tensor>(wanted.size(), at::empty({0}, at::kLong));
    std::vector<Overlap> overlaps(static_cast<std::size_t>(experts_.size(0)));
    for (std::size_t i = 0; i < wanted.size(); ++i) collect(i, wanted[i], sizes[i], overlaps);
    std::vector<std::size_t> order(overlaps.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](auto x, auto y) { return overlaps[x].units > overlaps[y].units; });
    std::int64_t shared = (experts_.sum(1) > 1).sum().item<std::int64_t>();
    std::vector<std::vector<at::Tensor>> kept(wanted.size(), {at::empty({0}, at::kLong)});
    for (const std::size_t e : order) {
      // A task that takes the whole of a shared expert joins its members; any other overlap makes one shared expert
      // more.
      const auto index = static_cast<std::int64_t>(e);
      const bool joins =
          experts_[index].sum().item<std::int64_t>() > 1 && overlaps[e].units == units_[index].item<std::int64_t>();
      if (overlaps[e].units == 0 || (!joins && ++shared > options_.most_experts)) break;
      for (const auto& [linear, ids] : overlaps[e].parts) kept[linear].push_back(ids);
    }
    std::vector<at::Tensor> result;
    for (const auto& parts : kept) result.push_back(std::get<0>(at::cat(parts).sort()));
    return result;
  }

 private:
  /// What a task would take of one expert.
  struct Overlap {
    std::int64_t units = 0;
    std::vector<std::pair<std::size_t, at::Tensor>> parts;  // linear, ids
  };

  void collect(std::size_t linear, const at::Tensor& wanted, std::int64_t size, std::vector<Overlap>& overlaps) const {
    const at::Tensor owner = owner_[linear].index_select(0, match(wanted, ids_[linear]).second);
    for (std::size_t e = 0; e < overlaps.size(); ++e) {
      const auto of_expert = [e](const at::Tensor& ids, const at::Tensor& owners) {
        return ids.index_select(0, (owners == static_cast<std::int64_t>(e)).nonzero().squeeze(1));
      };
      at::Tensor ids = of_expert(wanted, owner);
      const at::Tensor all = of_expert(ids_[linear], owner_[linear]);
      const double least = options_.least_overlap;
      if (ids.numel() == 0 || static_cast<double>(ids.numel()) < least * static_cast<double>(size)) continue;
      // Nearly the whole expert is the whole expert; components are limited by the rank.
      if (options_.elements && static_cast<double>(ids.numel()) >= (1 - least) * static_cast<double>(all.numel()))
        ids = all;
      overlaps[e].units += ids.numel();
      overlaps[e].parts.emplace_back(linear, ids);
    }
  }

  const LocaliseOptions& options_;
  std::vector<at::Tensor> ids_, owner_;  // of the pools' units, by linear
  at::Tensor experts_, units_;           // [E, tasks], units per expert
};

TaskUnits take_components(Learner& learner, const TaskView& task, const LocaliseOptions& options,
                          const UnitTable& table) {
  AdapterBank& bank = learner.bank();
  const AdapterId adapter = learner.create_adapter("task" + std::to_string(task.task()));
  MNEME_CHECK(bank.lora_options(adapter) != nullptr, "components of a low-rank update need adapter.kind=lora");
  auto units = to_units(bank, adapter, bank.values(adapter).detach().clone());
  const std::vector<Pool> pools = table.pools();
  const auto known = known_units(pools, units.size());
  std::vector<at::Tensor> scores, wanted;
  std::vector<std::int64_t> ranks;
  const bool chooses = !table.tasks.empty() && options.share;
  if (chooses && !options.random)
    scores = ComponentScores(learner, table.rows(bank, known, UnitTable::Of::kValues), adapter)
                 .measure(calibration(learner, task, options.batches));
  auto random = learner.random("support/" + std::to_string(task.task()));
  for (std::size_t i = 0; i < units.size(); ++i) {
    ranks.push_back(units[i].size(0));
    if (scores.size() <= i) scores.push_back(random_scores(random, known[i].numel() + ranks[i]));
    const at::Tensor best = largest(scores[i], ranks[i]);
    wanted.push_back(chooses ? known[i].index_select(0, best.masked_select(best < known[i].numel()))
                             : known[i].narrow(0, 0, 0));
  }
  TaskUnits made{adapter, Sharing(pools, options).allowed(wanted, ranks), {}};
  const auto values = table.rows(bank, made.ids, UnitTable::Of::kValues);
  for (std::size_t i = 0; i < units.size(); ++i) {
    const std::int64_t rank = ranks[i], shared = made.ids[i].numel(),
                       next = known[i].numel() > 0 ? known[i].max().item<std::int64_t>() + 1 : 0;
    if (shared > 0) {
      const at::Tensor rows = largest(scores[i].narrow(0, known[i].numel(), rank), rank - shared);
      units[i] = at::cat({values[i], units[i].index_select(0, rows)});
    }
    made.ids[i] = at::cat({made.ids[i], at::arange(next, next + rank - shared, at::kLong)});
  }
  bank.values(adapter).detach().copy_(from_units(bank, adapter, units));
  return made;
}

TaskUnits take_elements(Learner& learner, const TaskView& task, const LocaliseOptions& options,
                        const UnitTable& table) {
  AdapterBank& bank = learner.bank();
  const AdapterId pattern = learner.create_adapter("pattern");  // has the linears that the config asks for
  const auto linears = linears_of(bank, pattern);
  std::vector<std::int64_t> counts;
  for (const at::Tensor& units : to_units(bank, pattern, bank.values(pattern).detach()))
    counts.push_back(units.numel());
  bank.remove(pattern);
  std::vector<at::Tensor> scores, chosen, wanted;
  std::vector<std::int64_t> sizes;
  if (!options.random)
    scores = element_scores(learner, linears, calibration(learner, task, options.batches), options.weighted);
  const std::vector<Pool> pools = table.pools();
  const auto known = known_units(pools, linears.size());
  auto random = learner.random("support/" + std::to_string(task.task()));
  for (std::size_t i = 0; i < linears.size(); ++i) {
    const auto& linear = learner.model().linears()[static_cast<std::size_t>(linears[i])];
    if (options.random) scores.push_back(random_scores(random, linear.out * linear.in));
    if (options.density > 0)
      counts[i] =
          std::max<std::int64_t>(1, std::llround(options.density * static_cast<double>(linear.out * linear.in)));
    chosen.push_back(largest(scores[i], counts[i]));
    const at::Tensor taken = at::isin(chosen[i], known[i]);
    wanted.push_back(chosen[i].masked_select(taken));
    sizes.push_back(chosen[i].numel());
    chosen[i] = chosen[i].masked_select(taken.logical_not());
  }
  TaskUnits made{0, Sharing(pools, options).allowed(wanted, sizes), {}};
  const auto values = table.rows(bank, made.ids, UnitTable::Of::kValues);
  std::vector<mneme::SparseSupport> supports;
  std::vector<at::Tensor> units;
  for (std::size_t i = 0; i < linears.size(); ++i) {
    const at::Tensor zeros = at::zeros({chosen[i].numel(), 1}, at::kFloat);
    units.push_back(made.ids[i].numel() == 0 ? zeros : at::cat({values[i], zeros}));
    made.ids[i] = at::cat({made.ids[i], chosen[i]});
    supports.push_back({linears[i], made.ids[i]});
  }
  made.adapter = bank.create_sparse("task" + std::to_string(task.task()), std::move(supports));
  bank.values(made.adapter).detach().copy_(from_units(bank, made.adapter, units));
  return made;
}

}  // namespace

AdapterId localise(Learner& learner, const TaskView& task, const LocaliseOptions& options, UnitTable& table) {
  TaskUnits made =
      options.elements ? take_elements(learner, task, options, table) : take_components(learner, task, options, table);
  const AdapterId adapter = made.adapter;
  table.tasks[task.task()] = std::move(made);
  return adapter;
}

mneme::MemoryNeed units_memory(const mneme::MemoryCase& run, const LocaliseOptions& options) {
  const auto tasks = static_cast<double>(run.tasks.size());
  const bool shares = options.share && tasks > 1;
  if (!options.elements) {
    // An adapter and importances per task, anchor and stiffness of the last; the penalty on shared units. Before it the
    // probe with all units that there are: its values, gradients, their sum, and these as units.
    const double penalty = shares ? 5 : 0, probe = shares && !options.random ? 8 * tasks : 0;
    return {.kept = run.vectors(2 * tasks + 1), .step = run.vectors(std::max(penalty, probe))};
  }
  double all = 0, largest = 0, inputs = 0;
  const auto linears = mneme::model::linears_of(run.config);
  for (const std::int64_t index : run.step.adapted) {
    const auto& linear = linears[static_cast<std::size_t>(index)];
    const auto elements = static_cast<double>(linear.in * linear.out);
    all += elements;
    largest = std::max(largest, elements);
    inputs += static_cast<double>(linear.in);
  }
  const double taken = options.density > 0 ? options.density * all : static_cast<double>(run.step.trained);
  // Of a task: positions (8 bytes), values, importances; of the last one anchor, stiffness, gradient and moments. In a
  // pass the dense update of each linear, and its input in fp32. Where elements are scored each has its position,
  // weight (twice), value, gradient in parts and as a whole, dense update and sum.
  const double scored = options.random ? 0 : std::min(all, static_cast<double>(kAtOnce) + largest);
  const bool half = run.step.dtype == c10::ScalarType::BFloat16;
  const double copies = half ? 4 * inputs * static_cast<double>(run.step.rows + run.step.source_rows) : 0;
  return {.kept = 16 * tasks * taken + 24 * taken - run.vectors(4),
          .step = std::max(4 * all, 36 * scored) + 4 * largest + copies};
}

}  // namespace seta
