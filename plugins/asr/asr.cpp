/// \file ASR: an adapter per task on the upper layers, chosen for each prompt by a router fitted in closed form.
/// Source: Tong et al. 2025, "Analytic subspace routing" (Any-SSR); METHODS A3:
///   z = mean over the prompt's tokens of the normalised hidden states that leave the lower layers, which are frozen;
///   W = (sum XᵀX + lambda I)⁻¹ sum XᵀY, X = phi(z) of all tasks' prompts so far, Y their tasks: the joint ridge fit;
///   k* = argmax phi(z) W chooses the adapter of the layers above, trained on task k* alone from the pretrained model.
/// With the right choices old tasks are answered exactly as when they were learnt. What is not promised is that choices
/// stay: a task that resembles an old one can take prompts from it, as in joint training; see router/confusion.
/// Deviations: sums are float64 and equal in any order (the released code recurses in fp32 from an inverse, row by
/// row); hidden states of real tokens alone are pooled, and normalised without the final norm's gain, which belongs to
/// other layers; an eighth of the layers is shared (4 of 32, as published), of an encoder-decoder those of the encoder.
/// Given a prompt's task (an oracle, as in tests), that task's adapter answers.
#include "core/plugin.h"

namespace {

class Asr final : public mneme::Strategy {
 public:
  static mneme::ParamSpecs parameters() {
    using enum mneme::ParamType;
    return {{"shared_layers", kInt, "null", ">= 0",
             "lower layers without adapters, which feed the router; null: an eighth of the model's", true},
            {"features", kChoice, "linear", "linear|random_linear|random_relu",
             "what the router sees of the pooled hidden state; the paper has random_relu, its code random_linear"},
            {"width", kInt, "10000", ">= 1", "features of the random maps"},
            {"lambda", kReal, "100", ">= 0", "ridge coefficient of the router"},
            {"balanced", kBool, "false", "", "whether tasks count alike in the router, however many prompts they have"},
            {"solver", kChoice, "accumulated", "accumulated|recursive",
             "Gram matrix and Cholesky, or the recursive inverse of the paper; the same router"},
            {"general_task", kInt, "0", ">= 0",
             "index of a task whose prompts are left to the bare model: nothing is trained on it; 0: none"},
            {"states_budget", kInt, "1024", ">= 0",
             "MiB of hidden states of a task's samples that are held so that training resumes from them"}};
  }
  explicit Asr(const mneme::Params& p)
      : general_task_(p.integer("general_task")), states_budget_(p.integer("states_budget") << 20) {
    if (!p.is_null("shared_layers")) shared_layers_ = p.integer("shared_layers");
    router_options_.features = p.choice("features");
    router_options_.width = p.integer("width");
    router_options_.lambda = p.real("lambda");
    router_options_.balanced = p.flag("balanced");
    router_options_.recursive = p.choice("solver") == "recursive";
    router_options_.check();
  }

  void attach(mneme::Learner& learner) override {
    MNEME_CHECK(learner.options().adapter.kind == "lora", "asr needs low-rank adapters; adapter.kind is '{}', set lora",
                learner.options().adapter.kind);
    const mneme::model::TransformerConfig& config = learner.model().config();
    const std::int64_t layers = config.num_hidden_layers;
    shared_ = std::max(wanted_layers(config), learner.options().adapter.lora.first_layer);
    MNEME_CHECK(shared_ < layers, "asr shares {} lower layers of a model of {}; at least one must be left for adapters",
                shared_, layers);
    router_.emplace(router_options_, learner.random("router"));
    states_.emplace(shared_, states_budget_);
  }

  void before_task(mneme::Learner& learner, const mneme::TaskView& task) override {
    features_ = states_->hold(learner, task.train);
    if (task.task() == general_task_) {
      adapters_[task.task()] = 0;
      learner.bank().set_trainable({});
      return;
    }
    mneme::AdapterId& adapter = adapters_[task.task()];
    adapter = learner.create_adapter("task" + std::to_string(task.task()), "default", shared_);
    learner.bank().set_trainable({adapter});
  }

  std::vector<mneme::Phase> phases(mneme::Learner& learner, const mneme::TaskView& task) override {
    if (task.task() == general_task_) return {};
    return Strategy::phases(learner, task);
  }

  mneme::Terms loss(mneme::Learner& learner, const mneme::StepBatch& step) override {
    const mneme::Batch& batch = step.current();
    return {learner.cross_entropy(states_->resumed(learner, learner.active(), batch), batch)};
  }

  void after_task(mneme::Learner& learner, const mneme::TaskView& task) override {
    router_->learn(task.task(), features_);
    features_ = at::Tensor();
    states_->clear();
    const mneme::Dataset& known = task.eval.empty() ? task.train : task.eval;
    check_.add(task.task(), mneme::prompt_features(learner, mneme::prompts_of(known), shared_));
    check_.report(learner, [this](const at::Tensor& features) { return router_->route(features); });
  }

  mneme::ForwardSpec route(mneme::Learner& learner, const mneme::PromptBatch& prompts) override {
    if (router_->labels().empty()) return {};
    std::vector<std::int64_t> tasks;
    if (prompts.task)
      tasks.assign(prompts.prompts.size(), *prompts.task);
    else
      tasks = router_->route(mneme::prompt_features(learner, prompts, shared_));
    std::vector<mneme::AdapterId> chosen;
    for (const std::int64_t task : tasks) chosen.push_back(adapters_.contains(task) ? adapters_.at(task) : 0);
    return mneme::with_adapter_each(chosen);
  }

  void visit_state(mneme::StateVisitor& visitor) override {
    visitor.integers("adapters", adapters_);
    visitor.object("router", *router_);
    visitor.object("check", check_);
  }

  mneme::MemoryNeed memory(const mneme::MemoryCase& run) const override {
    const std::int64_t shared = wanted_layers(run.config);
    mneme::MemoryNeed need = mneme::SharedStates::memory(run, shared, states_budget_);
    need += mneme::AnalyticRouter::memory(router_options_, run.config.hidden_size);
    need.kept += run.vectors(static_cast<double>(run.tasks.size()) - 1);
    need.first_layer = shared;
    return need;
  }

 private:
  std::int64_t wanted_layers(const mneme::model::TransformerConfig& config) const {
    return shared_layers_.value_or(mneme::default_shared_layers(config));
  }

  std::optional<std::int64_t> shared_layers_;
  mneme::AnalyticRouterOptions router_options_;
  std::int64_t general_task_, states_budget_;
  std::int64_t shared_ = 0;
  std::optional<mneme::AnalyticRouter> router_;
  std::optional<mneme::SharedStates> states_;
  at::Tensor features_;                                // of the current task's prompts [N, D]
  std::map<std::int64_t, mneme::AdapterId> adapters_;  // by task; 0: the bare model
  mneme::RoutingCheck check_;
};

}  // namespace

MNEME_STRATEGY_PLUGIN(Asr, {.name = "asr",
                            .version = "1.0",
                            .citation = "Tong et al. 2025, Any-SSR",
                            .summary = "An adapter per task on the upper layers, chosen by an analytic router",
                            .capabilities = mneme::kGrowsWithTasks});
