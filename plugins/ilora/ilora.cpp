/// \file I-LoRA: a fast adapter that learns, a slow one that follows it by interpolation, and replay that ties the two.
/// Source: Ren et al. 2024, "Analyzing and reducing catastrophic forgetting in parameter efficient tuning" (arXiv
/// 2402.18865); METHODS A1. Variant `paper`:
///   L(fast) = CE(current and replay together) + gamma · MSE(h_fast(replay), h_slow(replay)),
///   slow <- ema · slow + (1 - ema) · fast after each optimiser step; the slow adapter answers.
/// Variant `repo_fixed`, what the released code does once its crash, its padding and its masks are mended:
///   L(fast) = (CE(current) + CE(replay)) / 2 + gamma · mean(max(h_slow - h_fast, 0)^2), slow <- fast at each task's
///   end, a step's samples enter the buffer before the draw; the fast adapter answers.
/// Variant `repo_asis`: as repo_fixed, with the released padding: sequences of a batch are filled up on the left with
/// token 0, which attention sees; in the replayed ones token 0 is also a label, and the filling's hidden states count.
///
/// Deviations: the slow adapter starts as a copy of the fast one, which is the bare model as in the released
/// code, and follows it from the first step or task on (`refresh: never` leaves it bare, what the released update comes
/// to); replay and consistency start with the second task, so that a single task trains as plain fine-tuning does; in
/// the other variants hidden states are those of real tokens alone, since there is no padding; prompts are never padded
/// at test. What the paper reports at test is not known to us: `evaluate`.
#include "core/plugin.h"

namespace {

class Ilora final : public mneme::Strategy {
 public:
  static mneme::ParamSpecs parameters() {
    using enum mneme::ParamType;
    return {{"variant", kChoice, "paper", "paper|repo_fixed|repo_asis",
             "the paper's method, or the released code's with its faults mended or with its padding"},
            {"ema", kReal, "0.9", "[0, 1]", "part of the slow adapter that a step keeps (variant paper)"},
            {"gamma", kReal, "1.0", ">= 0", "weight of the consistency between fast and slow hidden states"},
            {"layers", kChoice, "all", "all|last", "which hidden states the consistency compares"},
            {"capacity", kInt, "500", ">= 0", "samples that the reservoir holds, over all tasks"},
            {"evaluate", kChoice, "auto", "auto|slow|fast",
             "which adapter answers; auto: slow for paper, fast for the others"},
            {"refresh", kChoice, "task", "task|never",
             "when slow takes over fast: at a task's end, or never (not in paper)"},
            {"probe", kBool, "false", "", "whether to record loss and accuracy between the minima of successive tasks"},
            {"probe_points", kInt, "11", ">= 2", "positions on the line and on the curve between two minima"},
            {"probe_samples", kInt, "32", ">= 1", "held-out samples of each task at each position"},
            {"probe_steps", kInt, "40", ">= 0", "training steps of the curve's middle point; 0: the line only"}};
  }
  explicit Ilora(const mneme::Params& p)
      : paper_(p.choice("variant") == "paper"),
        ema_(p.real("ema")),
        gamma_(p.real("gamma")),
        hidden_(p.choice("layers") == "all" ? mneme::model::HiddenStates::kAll : mneme::model::HiddenStates::kLast),
        capacity_(p.integer("capacity")),
        pads_(p.choice("variant") == "repo_asis"),
        refreshes_(p.choice("refresh") == "task"),
        evaluate_slow_(p.choice("evaluate") == "auto" ? paper_ : p.choice("evaluate") == "slow"),
        probes_(p.flag("probe")),
        probe_options_{p.integer("probe_points"), p.integer("probe_samples"), p.integer("probe_steps")} {}

  void attach(mneme::Learner& learner) override {
    MNEME_CHECK(!pads_ || !learner.model().config().encoder_decoder(),
                "variant repo_asis fills sequences up as a decoder's batches are; an encoder-decoder needs repo_fixed");
    fast_ = learner.create_adapter("default");
    slow_ = learner.bank().clone(fast_, "slow");
    learner.bank().set_trainable({fast_});
    buffer_.emplace(capacity_, learner.random("reservoir"));
    if (probes_) probe_.emplace(probe_options_, learner.random("probe"));
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
    const mneme::Batch* replay = step.find("replay");
    if (replay == nullptr) {
      mneme::Batch own = step.current();
      if (pads_) own.packed = mneme::make_batch(filled(own.samples)).packed;
      return {learner.cross_entropy(learner.active(), own)};
    }
    const mneme::Batch* current = step.find("current");
    // One pass over both: a step of twice the sequences costs less than two steps.
    const std::int64_t first_replayed = current == nullptr ? 0 : current->size();
    const mneme::Batch both = joined(current, *replay);
    mneme::ForwardSpec spec = learner.active();
    if (gamma_ > 0) spec.hidden = hidden_;
    const auto fast = learner.forward(spec, both);
    const std::int64_t labels = both.packed.label_offsets[static_cast<std::size_t>(first_replayed)];
    mneme::Terms terms;
    const double share = current == nullptr ? 0 : share_of(*current, *replay);
    if (labels > 0) terms.push_back({"ce", fast.losses.narrow(0, 0, labels).mean(), share, current->label_share});
    const at::Tensor replayed = fast.losses.narrow(0, labels, fast.losses.numel() - labels);
    if (replayed.numel() > 0) terms.push_back({"replay", replayed.mean(), 1 - share, replay->label_share});
    if (gamma_ > 0)
      terms.push_back(
          learner.token_mean("consistency", consistency(learner, both, first_replayed, fast), gamma_, *replay));
    return terms;
  }

  void after_step(mneme::Learner& learner) override {
    if (paper_) learner.bank().interpolate(slow_, fast_, ema_);
  }

  void after_task(mneme::Learner& learner, const mneme::TaskView& task) override {
    if (!paper_ && refreshes_) learner.bank().copy(slow_, fast_);
    if (probe_) probe_->after_task(learner, task);
  }

  mneme::ForwardSpec route(mneme::Learner&, const mneme::PromptBatch&) override {
    return mneme::with_adapters({evaluate_slow_ ? slow_ : fast_});
  }

  void visit_state(mneme::StateVisitor& visitor) override {
    visitor.integer("fast", fast_);
    visitor.integer("slow", slow_);
    visitor.object("buffer", *buffer_);
    if (probe_) visitor.object("probe", *probe_);
  }

 private:
  /// The samples as the released code pads them: token 0 on the left up to the longest sequence.
  static mneme::Dataset filled(const mneme::Dataset& samples) {
    std::size_t longest = 0;
    for (const auto& sample : samples) longest = std::max(longest, sample->tokens.size());
    mneme::Dataset made;
    for (const auto& sample : samples) {
      mneme::Sample longer = *sample;
      longer.tokens.insert(longer.tokens.begin(), longest - sample->tokens.size(), 0);
      longer.first_label += static_cast<std::int64_t>(longest - sample->tokens.size());
      made.push_back(std::make_shared<const mneme::Sample>(std::move(longer)));
    }
    return made;
  }

  /// The current samples and then the replayed ones.
  mneme::Batch joined(const mneme::Batch* current, const mneme::Batch& replay) const {
    mneme::Dataset samples = current == nullptr ? mneme::Dataset{} : current->samples;
    samples.insert(samples.end(), replay.samples.begin(), replay.samples.end());
    if (!pads_) return mneme::make_batch(std::move(samples));
    const std::size_t first_replayed = samples.size() - replay.samples.size();
    mneme::Dataset padded = current == nullptr ? mneme::Dataset{} : filled(current->samples);
    const mneme::Dataset replayed = filled(replay.samples);
    padded.insert(padded.end(), replayed.begin(), replayed.end());
    mneme::Batch made = mneme::make_batch(std::move(padded));
    label_filling(made.packed, samples, first_replayed);
    return made;
  }

  /// Makes every filling token but the first of its sequence a label of the token before it, in the sequences from
  /// `first` on. \param samples as they were before the filling
  static void label_filling(mneme::model::PackedBatch& batch, const mneme::Dataset& samples, std::size_t first) {
    std::vector<at::Tensor> rows, labels;
    std::vector<std::int64_t> label_offsets = {0};
    for (std::size_t i = 0; i < samples.size(); ++i) {
      const std::int64_t start = batch.label_offsets[i], count = batch.label_offsets[i + 1] - start;
      const auto own = static_cast<std::int64_t>(samples[i]->tokens.size()) - (count > 0 ? 1 : 0);
      const std::int64_t before_last = batch.offsets[i + 1] - batch.offsets[i] - own - 1;
      const std::int64_t filling = i < first ? 0 : std::max<std::int64_t>(before_last, 0);
      rows.push_back(at::arange(batch.offsets[i], batch.offsets[i] + filling, at::kLong));
      rows.push_back(batch.label_rows.narrow(0, start, count));
      labels.push_back(at::zeros({filling}, at::kLong));
      labels.push_back(batch.labels.narrow(0, start, count));
      label_offsets.push_back(label_offsets.back() + filling + count);
    }
    batch.label_rows = at::cat(rows);
    batch.labels = at::cat(labels);
    batch.label_offsets = std::move(label_offsets);
  }

  /// The current samples' weight in the cross-entropy: their part of all label tokens of the step, or a half.
  double share_of(const mneme::Batch& current, const mneme::Batch& replay) const {
    if (!paper_) return 0.5;
    const auto labels = [](const mneme::Batch& batch) {
      return batch.label_share > 0 ? static_cast<double>(batch.packed.label_count()) / batch.label_share : 0.0;
    };
    return labels(current) / (labels(current) + labels(replay));
  }

  /// How far the replayed samples' hidden states are from the slow adapter's: the mean over all layers.
  at::Tensor consistency(mneme::Learner& learner, const mneme::Batch& both, std::int64_t first_replayed,
                         const mneme::model::ForwardOutput& fast) const {
    const mneme::Dataset replayed(both.samples.begin() + first_replayed, both.samples.end());
    mneme::ForwardSpec spec = mneme::with_adapters({slow_});
    spec.hidden = hidden_;
    spec.rows = mneme::model::RowsNeeded::kLast;  // no losses
    spec.dropout = false;
    std::vector<at::Tensor> targets;
    {
      at::NoGradGuard off;
      targets = learner.forward(spec, mneme::make_batch(replayed)).hidden;
    }
    at::Tensor sum = at::zeros({}, at::kFloat);
    for (std::size_t i = 0; i < targets.size(); ++i) {
      const std::int64_t row = fast.hidden_offsets[i][static_cast<std::size_t>(first_replayed)];
      const at::Tensor gap = (targets[i] - fast.hidden[i].narrow(0, row, targets[i].size(0))).to(at::kFloat);
      sum = sum + (paper_ ? gap : gap.relu()).square().mean();
    }
    return sum / static_cast<double>(targets.size());
  }

  bool paper_;
  double ema_, gamma_;
  mneme::model::HiddenStates hidden_;
  std::int64_t capacity_;
  bool pads_, refreshes_;
  bool evaluate_slow_;
  bool probes_;
  mneme::ConnectivityOptions probe_options_;
  mneme::AdapterId fast_ = 0, slow_ = 0;
  std::int64_t stage_ = 0;
  std::optional<mneme::ReplayBuffer> buffer_;
  std::optional<mneme::ConnectivityProbe> probe_;
};

}  // namespace

MNEME_STRATEGY_PLUGIN(Ilora, {.name = "ilora",
                              .version = "1.0",
                              .citation = "Ren et al. 2024, arXiv 2402.18865",
                              .summary = "Fast and slow adapters, per-step interpolation, replay and consistency",
                              .capabilities = mneme::kStoresExamples | mneme::kStoresModelCopy});
