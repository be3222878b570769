/// \file I-LoRA: a fast adapter that learns, a slow one that follows it by interpolation, and replay that ties the two.
/// Source: Ren et al. 2024, "Analyzing and reducing catastrophic forgetting in parameter efficient tuning" (arXiv
/// 2402.18865); METHODS A1. Variant `paper`:
///   L(fast) = CE(current and replay together) + gamma · MSE(h_fast(replay), h_slow(replay)),
///   slow <- ema · slow + (1 - ema) · fast after each optimiser step; the slow adapter answers.
/// Variant `repo_fixed`, what the released code does once its crash, its padding and its masks are mended:
///   L(fast) = (CE(current) + CE(replay)) / 2 + gamma · mean(max(h_slow - h_fast, 0)^2), slow <- fast at each task's end,
///   a step's samples enter the buffer before the draw; the fast adapter answers.
/// Deviations: the slow adapter starts as a copy of the fast one (the released code starts it as the bare model); replay
/// and consistency start with the second task, so that a single task trains as plain fine-tuning does; hidden states are
/// those of real tokens alone, since there is no padding. What the paper reports at test is not known to us: evaluate.
#include "core/plugin.h"

namespace {

class Ilora final : public mneme::Strategy {
 public:
  static mneme::ParamSpecs parameters() {
    using enum mneme::ParamType;
    return {{"variant", kChoice, "paper", "paper|repo_fixed", "the paper's method, or the released code's with its faults mended"},
            {"ema", kReal, "0.9", "[0, 1]", "part of the slow adapter that a step keeps (variant paper)"},
            {"gamma", kReal, "1.0", ">= 0", "weight of the consistency between fast and slow hidden states"},
            {"layers", kChoice, "all", "all|last", "which hidden states the consistency compares"},
            {"capacity", kInt, "500", ">= 0", "samples that the reservoir holds, over all tasks"},
            {"evaluate", kChoice, "auto", "auto|slow|fast", "which adapter answers; auto: slow for paper, fast for repo_fixed"}};
  }
  explicit Ilora(const mneme::Params& p)
      : paper_(p.choice("variant") == "paper"),
        ema_(p.real("ema")),
        gamma_(p.real("gamma")),
        all_layers_(p.choice("layers") == "all"),
        capacity_(p.integer("capacity")),
        evaluate_slow_(p.choice("evaluate") == "auto" ? paper_ : p.choice("evaluate") == "slow") {}

  void attach(mneme::Learner& learner) override {
    fast_ = learner.create_adapter("default");
    slow_ = learner.bank().clone(fast_, "slow");
    learner.bank().set_trainable({fast_});
    buffer_.emplace(capacity_, learner.random("reservoir"));
  }

  void before_task(mneme::Learner&, const mneme::TaskView& task) override { stage_ = task.stage; }

  mneme::StepParts compose(mneme::Learner&, mneme::Dataset samples) override {
    mneme::StepParts parts;
    const auto insert = [&] {
      for (const auto& sample : samples) buffer_->insert(sample);
    };
    if (!paper_) insert();
    if (stage_ > 1 && buffer_->size() > 0) parts["replay"] = buffer_->draw(static_cast<std::int64_t>(samples.size()));
    if (paper_) insert();
    parts["current"] = std::move(samples);
    return parts;
  }

  mneme::Terms loss(mneme::Learner& learner, const mneme::StepBatch& step) override {
    mneme::Terms terms;
    const mneme::Batch* current = step.find("current");
    const mneme::Batch* replay = step.find("replay");
    if (current != nullptr) terms.push_back(learner.cross_entropy(learner.active(), *current));
    if (replay == nullptr) return terms;
    if (current != nullptr) terms.back().weight = share_of(*current, *replay);
    add_replay(learner, *replay, current == nullptr ? 1.0 : 1.0 - share_of(*current, *replay), terms);
    return terms;
  }

  void after_step(mneme::Learner& learner) override {
    if (paper_) learner.bank().interpolate(slow_, fast_, ema_);
  }

  void after_task(mneme::Learner& learner, const mneme::TaskView&) override {
    if (!paper_) learner.bank().copy(slow_, fast_);
  }

  mneme::ForwardSpec route(mneme::Learner&, const mneme::PromptBatch&) override {
    return mneme::with_adapters({evaluate_slow_ ? slow_ : fast_});
  }

  void visit_state(mneme::StateVisitor& visitor) override {
    visitor.integer("fast", fast_);
    visitor.integer("slow", slow_);
    visitor.object("buffer", *buffer_);
  }

 private:
  /// The current samples' weight in the cross-entropy: their part of all label tokens of the step, or a half.
  double share_of(const mneme::Batch& current, const mneme::Batch& replay) const {
    if (!paper_) return 0.5;
    const auto labels = [](const mneme::Batch& batch) {
      return batch.label_share > 0 ? static_cast<double>(batch.packed.label_count()) / batch.label_share : 0.0;
    };
    return labels(current) / (labels(current) + labels(replay));
  }

  /// Cross-entropy of the replayed samples, and how far their hidden states are from the slow adapter's.
  void add_replay(mneme::Learner& learner, const mneme::Batch& replay, double weight, mneme::Terms& terms) {
    mneme::ForwardSpec spec = learner.active();
    const auto hidden = all_layers_ ? mneme::model::HiddenStates::kAll : mneme::model::HiddenStates::kLast;
    if (gamma_ > 0) spec.hidden = hidden;
    const auto fast = learner.forward(spec, replay);
    terms.push_back({"replay", fast.losses.mean(), weight, replay.label_share});
    if (gamma_ == 0) return;
    at::Tensor sum = at::zeros({}, at::kFloat);
    mneme::ForwardSpec slow_spec = mneme::with_adapters({slow_});
    slow_spec.hidden = hidden;
    slow_spec.dropout = false;
    std::vector<at::Tensor> targets;
    {
      at::NoGradGuard off;
      targets = learner.forward(slow_spec, replay).hidden;
    }
    for (std::size_t i = 0; i < targets.size(); ++i) {
      const at::Tensor gap = (targets[i] - fast.hidden[i]).to(at::kFloat);
      sum = sum + (paper_ ? gap : gap.relu()).square().mean();
    }
    terms.push_back(learner.token_mean("consistency", sum / static_cast<double>(targets.size()), gamma_, replay));
  }

  bool paper_;
  double ema_, gamma_;
  bool all_layers_;
  std::int64_t capacity_;
  bool evaluate_slow_;
  mneme::AdapterId fast_ = 0, slow_ = 0;
  std::int64_t stage_ = 0;
  std::optional<mneme::ReplayBuffer> buffer_;
};

}  // namespace

MNEME_STRATEGY_PLUGIN(Ilora, {.name = "ilora",
                              .version = "1.0",
                              .citation = "Ren et al. 2024, arXiv 2402.18865",
                              .summary = "Fast and slow adapters, per-step interpolation, replay and consistency",
                              .capabilities = mneme::kStoresExamples | mneme::kStoresModelCopy});
