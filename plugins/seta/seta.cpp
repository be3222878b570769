/// \file SETA, our reconstruction: sparse subspaces that become unique and shared experts, elastic anchoring of what is
/// shared, and a gate that finds a prompt's experts without being told its task.
/// Source: "Split-on-Share" / "Sparse subspace-to-expert sharing" (arXiv 2601.17616, 2606.07500), of which we know the
/// abstracts and what others wrote; no code is public. METHODS A4 fills the gaps, so results are to be called
/// "SETA (our reconstruction)". Per task:
///   localise: the units (rank-one components, or elements of weights) to which the task's loss is most sensitive;
///   split on share: a unit that earlier tasks hold becomes shared, others are new and unique;
///   train CE + lambda/2 · sum over shared units of (|T_e| - 1) · Om_j (v_j - v*_j)², v* as the task found them, T_e
///   the tasks that hold the unit, Om the accumulated Fisher, scaled to mean 1 per expert and at least 1e-3;
///   consolidate: Om <- decay · Om + F_task. At test the gate's distribution pi over tasks gives expert e the
///   coefficient c_e = sum of pi_t over its tasks.
/// Deviations: each task's adapter holds copies of its shared units, which follow the trained one at each task's end;
/// then sum_t pi_t · adapter_t is sum_e c_e · expert_e, and a split touches no value. What an overlap would need beyond
/// `most_experts` is not shared (merging unlike experts would change old tasks). Components are scored by the loss that
/// they take away (see localise.cpp), at the pretrained weights. Of elements a task takes as many as a LoRA has
/// parameters (`density: 0.01` is METHODS' part), at four times its rate (METHODS: 1e-3 where a LoRA has 3e-4). The
/// trained gate learns with the task, on its prompts alone. Given a prompt's task (an oracle, as in tests), that task's
/// experts answer.
#include "gate.h"
#include "localise.h"
#include "units.h"

namespace {

class Seta final : public mneme::Strategy {
 public:
  static mneme::ParamSpecs parameters() {
    using enum mneme::ParamType;
    return {
        {"backend", kChoice, "components", "components|elements",
         "units of sharing: rank-one components of low-rank adapters, or single elements of the weights"},
        {"density", kReal, "0.01", "(0, 1]",
         "elements: part of each adapted weight that a task takes; null: as many as a LoRA of adapter.rank has there",
         true},
        {"sensitivity", kChoice, "weighted", "weighted|gradient",
         "elements: mean of |w · gradient|, or of the squared gradient"},
        {"rate", kReal, "3.33", "> 0", "elements: factor on the learning rate, which is meant for a LoRA"},
        {"share", kBool, "true", "", "whether a task may take units of earlier tasks"},
        {"support", kChoice, "sensitivity", "sensitivity|random", "how units are chosen; random is the control"},
        {"calibration_batches", kInt, "64", ">= 1", "batches that the sensitivity is measured on"},
        {"least_overlap", kReal, "0.01", "[0, 1]", "part of a task's units below which an overlap is not shared"},
        {"most_experts", kInt, "32", ">= 0", "shared experts at most"},
        {"anchor", kChoice, "elastic", "elastic|freeze", "shared units are pulled to where they were, or not trained"},
        {"lambda", kReal, "100", ">= 0", "strength of the elastic anchor per further task that holds a unit"},
        {"decay", kReal, "1", "[0, 1]", "factor on the accumulated importance at each task's end"},
        {"fisher_samples", kInt, "512", ">= 0", "samples that a task's importance is estimated from; 0: all"},
        {"gate", kChoice, "analytic", "analytic|prototype|trained|uniform",
         "ridge regression, class means with a shared covariance, a trained layer, or none (a control)"},
        {"mode", kChoice, "hard", "hard|soft", "experts of the likeliest task, or mixed by the gate's distribution"},
        {"temperature", kReal, "0.1", "> 0", "soft: of the softmax over the gate's scores"},
        {"gate_layer", kInt, "null", ">= 0", "layer whose input the gate pools; null: above an eighth of the layers",
         true},
        {"gate_lambda", kReal, "100", ">= 0", "ridge coefficient of the analytic gate and of the shared covariance"},
        {"gate_weight", kReal, "0.1", ">= 0", "weight of the trained gate's cross-entropy"},
        {"route_weight", kReal, "1", ">= 0", "weight of the trained gate's routing-aware term"}};
  }
  explicit Seta(const mneme::Params& p)
      : freeze_(p.choice("anchor") == "freeze"),
        lambda_(p.real("lambda")),
        decay_(p.real("decay")),
        fisher_samples_(p.integer("fisher_samples")),
        hard_(p.choice("mode") == "hard"),
        temperature_(p.real("temperature")),
        rate_(p.real("rate")),
        gate_(
            seta::make_gate({p.choice("gate"), p.real("gate_lambda"), p.real("gate_weight"), p.real("route_weight")})) {
    localise_ = {.elements = p.choice("backend") == "elements",
                 .density = p.is_null("density") ? 0 : p.real("density"),
                 .weighted = p.choice("sensitivity") == "weighted",
                 .batches = p.integer("calibration_batches"),
                 .random = p.choice("support") == "random",
                 .share = p.flag("share"),
                 .least_overlap = p.real("least_overlap"),
                 .most_experts = p.integer("most_experts")};
    if (!localise_.elements) rate_ = 1;
    if (!p.is_null("gate_layer")) gate_layer_ = p.integer("gate_layer");
  }

  void attach(mneme::Learner& learner) override {
    MNEME_CHECK(
        learner.options().adapter.kind == "lora",
        "seta keeps the model frozen; adapter.kind is '{}', set lora (its targets say which weights have experts)",
        learner.options().adapter.kind);
    if (!gate_layer_) gate_layer_ = mneme::default_shared_layers(learner.model().config());
    MNEME_CHECK(*gate_layer_ <= learner.model().config().num_hidden_layers, "gate_layer {} of a model of {} layers",
                *gate_layer_, learner.model().config().num_hidden_layers);
  }

  void before_task(mneme::Learner& learner, const mneme::TaskView& task) override {
    task_ = task.task();
    const mneme::AdapterId adapter = seta::localise(learner, task, localise_, table_);
    std::vector<mneme::AdapterId> trained = {adapter};
    gate_->open(learner, task_, trained);
    learner.bank().set_trainable(trained);
    anchor_ = learner.bank().values(adapter).detach().clone();
    set_stiffness(learner, adapter);
    features_ = mneme::prompt_features(learner, mneme::prompts_of(task.train), *gate_layer_);
    rows_.clear();
    for (std::size_t i = 0; i < task.train.size(); ++i) rows_[task.train[i].get()] = static_cast<std::int64_t>(i);
  }

  std::vector<mneme::Phase> phases(mneme::Learner& learner, const mneme::TaskView& task) override {
    auto all = Strategy::phases(learner, task);
    mneme::ParameterGroup experts;
    experts.adapter = table_.tasks.at(task_).adapter;
    experts.learning_rate_scale = rate_;
    experts.weight_decay = 0;  // it would pull shared units away from what other tasks need
    for (mneme::Phase& phase : all) phase.groups.push_back(experts);
    return all;
  }

  mneme::Terms loss(mneme::Learner& learner, const mneme::StepBatch& step) override {
    const mneme::ForwardSpec spec = mneme::with_adapters({table_.tasks.at(task_).adapter});
    mneme::Terms terms = {learner.cross_entropy(spec, step.current())};
    if (stiffness_.defined() && !freeze_ && lambda_ > 0) {
      const at::Tensor distance = learner.parameters().narrow(0, 0, anchor_.numel()) - anchor_;
      terms.push_back(learner.regulariser("anchor", 0.5 * (stiffness_ * distance.square()).sum(), lambda_, step));
    }
    if (!gate_->trains()) return terms;
    std::vector<std::int64_t> rows;
    for (const mneme::SamplePtr& sample : step.current().samples) rows.push_back(rows_.at(sample.get()));
    for (mneme::Term& term : gate_->loss(learner, features_.index_select(0, at::tensor(rows, at::kLong)), step))
      terms.push_back(std::move(term));
    return terms;
  }

  void before_step(mneme::Learner&, at::Tensor& gradient) override {
    if (freeze_ && stiffness_.defined()) gradient.narrow(0, 0, stiffness_.numel()).masked_fill_(stiffness_ > 0, 0);
  }

  void after_task(mneme::Learner& learner, const mneme::TaskView& task) override {
    seta::TaskUnits& units = table_.tasks.at(task_);
    const at::Tensor all = learner.fisher_diagonal(mneme::with_adapters({units.adapter}), task.train, fisher_samples_);
    auto importance = seta::to_units(learner.bank(), units.adapter, all.narrow(0, 0, anchor_.numel()));
    const auto old = table_.rows(learner.bank(), units.ids, seta::UnitTable::Of::kImportance);
    for (std::size_t i = 0; i < importance.size(); ++i)
      if (old[i].defined()) importance[i] += decay_ * old[i];
    units.importance = std::move(importance);
    table_.spread(learner.bank(), task_);
    gate_->learn(learner, task_, features_);
    const mneme::Dataset& known = task.eval.empty() ? task.train : task.eval;
    check_.add(task_, mneme::prompt_features(learner, mneme::prompts_of(known), *gate_layer_));
    report(learner);
    anchor_ = stiffness_ = features_ = at::Tensor();
  }

  mneme::ForwardSpec route(mneme::Learner& learner, const mneme::PromptBatch& prompts) override {
    if (table_.tasks.empty()) return {};
    const std::size_t count = prompts.prompts.size();
    if (prompts.task) return mneme::with_adapter_each(std::vector<mneme::AdapterId>(count, adapter_of(*prompts.task)));
    const at::Tensor features = mneme::prompt_features(learner, prompts, *gate_layer_);
    std::vector<mneme::AdapterId> adapters;
    if (hard_) {
      for (const std::int64_t task : likeliest(learner, features)) adapters.push_back(adapter_of(task));
      return mneme::with_adapter_each(adapters);
    }
    const at::Tensor logits = gate_->logits(learner, features);
    for (const auto& [task, units] : table_.tasks) adapters.push_back(units.adapter);
    adapters.resize(static_cast<std::size_t>(logits.size(1)));  // a task that is being learnt takes no prompts yet
    return mneme::with_mixture(adapters, at::softmax(logits / temperature_, 1).to(at::kFloat));
  }

  void visit_state(mneme::StateVisitor& visitor) override {
    visitor.object("units", table_);
    visitor.object("gate", *gate_);
    visitor.object("check", check_);
  }

  mneme::MemoryNeed memory(const mneme::MemoryCase& run) const override {
    mneme::MemoryNeed need = seta::units_memory(run, localise_);
    need += mneme::AnalyticRouter::memory({}, run.config.hidden_size);  // the other gates take less
    return need;
  }

 private:
  mneme::AdapterId adapter_of(std::int64_t task) const {
    const auto at = table_.tasks.find(task);
    return at == table_.tasks.end() ? 0 : at->second.adapter;
  }

  std::vector<std::int64_t> likeliest(mneme::Learner& learner, const at::Tensor& features) const {
    std::vector<std::int64_t> tasks, chosen;
    for (const auto& [task, units] : table_.tasks) tasks.push_back(task);
    const at::Tensor best = gate_->logits(learner, features).argmax(1);
    for (std::int64_t i = 0; i < best.numel(); ++i)
      chosen.push_back(tasks[static_cast<std::size_t>(best[i].item<std::int64_t>())]);
    return chosen;
  }

  /// (|T_e| - 1) · Om for each parameter of the task's shared units, 0 for its unique ones; undefined if none is
  /// shared.
  void set_stiffness(mneme::Learner& learner, mneme::AdapterId adapter) {
    constexpr double kFloor = 1e-3;
    stiffness_ = at::Tensor();
    const auto owners = table_.owners(task_);
    if ((owners.tasks > 1).sum().item<std::int64_t>() == 0) return;
    auto importance = table_.rows(learner.bank(), table_.tasks.at(task_).ids, seta::UnitTable::Of::kImportance);
    std::vector<at::Tensor> sums, widths;
    for (const at::Tensor& om : importance) {
      sums.push_back(om.sum(1));
      widths.push_back(at::full_like(sums.back(), static_cast<double>(om.size(1))));
    }
    const std::int64_t experts = owners.expert.max().item<std::int64_t>() + 1;
    const auto per_expert = [&](const std::vector<at::Tensor>& parts) {
      return at::zeros({experts}, at::kFloat).index_add_(0, owners.expert, at::cat(parts));
    };
    const at::Tensor mean = (per_expert(sums) / per_expert(widths)).clamp_min(1e-30).index_select(0, owners.expert);
    const at::Tensor others = (owners.tasks - 1).to(at::kFloat);
    std::int64_t start = 0;
    for (at::Tensor& om : importance) {
      const auto own = [&](const at::Tensor& per_unit) { return per_unit.narrow(0, start, om.size(0)).unsqueeze(1); };
      const at::Tensor stiff = own(others) * (om / own(mean)).clamp_min(kFloor);
      start += om.size(0);
      om = stiff;
    }
    stiffness_ = seta::from_units(learner.bank(), adapter, importance);
  }

  /// Growth: different parameters so far, those of them that are shared, experts; and which tasks each expert serves.
  void report(mneme::Learner& learner) {
    const auto experts = table_.experts(learner.bank());
    const at::Tensor shared = experts.members.sum(1) > 1;
    learner.report("seta/parameters", experts.parameters.sum().item<double>());
    learner.report("seta/shared_parameters", (experts.parameters * shared).sum().item<double>());
    learner.report("seta/experts", static_cast<double>(experts.members.size(0)));
    const std::string tasks = std::to_string(table_.tasks.size());
    learner.report_array("seta/members/" + tasks, experts.members);
    learner.report_array("seta/expert_parameters/" + tasks, experts.parameters);
    check_.report(learner, [&](const at::Tensor& features) { return likeliest(learner, features); });
  }

  seta::LocaliseOptions localise_;
  bool freeze_;
  double lambda_, decay_;
  std::int64_t fisher_samples_;
  bool hard_;
  double temperature_, rate_;
  std::optional<std::int64_t> gate_layer_;
  std::unique_ptr<seta::Gate> gate_;
  seta::UnitTable table_;
  mneme::RoutingCheck check_;

  // Of the task being learnt.
  std::int64_t task_ = 0;
  at::Tensor anchor_, stiffness_;                      // [n] of its adapter
  at::Tensor features_;                                // [N, d] of its prompts
  std::map<const mneme::Sample*, std::int64_t> rows_;  // of its samples in features_
};

}  // namespace

MNEME_STRATEGY_PLUGIN(Seta,
                      {.name = "seta",
                       .version = "1.0",
                       .citation = "arXiv 2601.17616, 2606.07500 (our reconstruction)",
                       .summary = "Unique and shared sparse experts with elastic anchors and a gate (reconstruction)",
                       .capabilities = mneme::kGrowsWithTasks | mneme::kStoresModelCopy});
