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
    mneme::StepBatch padded;
    if (pads_)
      for (const auto& [name, batch] : step.parts) padded.parts.emplace(name, filled(batch, name == "replay"));
    const mneme::Batch* current = (pads_ ? padded : step).find("current");
    const mneme::Batch* replay = (pads_ ? padded : step).find("replay");
    const double share = current != nullptr && replay != nullptr ? share_of(*current, *replay) : 1.0;
    mneme::Terms terms;
    // Passes of their own: that of the current samples computes label rows alone in the last layer.
    if (current != nullptr) {
      terms.push_back(learner.cross_entropy(learner.active(), *current));
      terms.back().weight = share;
    }
    if (replay != nullptr) add_replay(learner, *replay, current == nullptr ? 1.0 : 1.0 - share, terms);
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

  mneme::MemoryNeed memory(const mneme::MemoryCase& run) const override {
    mneme::MemoryNeed need{.kept = run.vectors(1), .rest = run.vectors(1)};
    if (gamma_ == 0 || run.tasks.size() < 2) return need;
    // Half of the rows are replayed: the slow adapter's hidden states of these and gradients of the fast one's; to be
    // compared in fp32, both states in bf16 are copied.
    const auto& config = run.config;
    const bool all = hidden_ == mneme::model::HiddenStates::kAll;
    const auto states = [&](std::int64_t rows, std::int64_t layers) {
      return run.states(0.5 * static_cast<double>(rows) * static_cast<double>(all ? layers + 1 : 1));
    };
    double bytes =
        states(run.step.rows, config.encoder_decoder() ? config.num_decoder_layers : config.num_hidden_layers);
    if (all) bytes += states(run.step.source_rows, config.num_hidden_layers);
    need.step = (run.step.dtype == c10::ScalarType::BFloat16 ? 6 : 2) * bytes;
    return need;
  }

 private:
  /// The batch as the released code pads it: token 0 on the left up to the longest sequence, which is seen like any
  /// other token, and is a label too if `labelled`.
  static mneme::Batch filled(const mneme::Batch& batch, bool labelled) {
    std::size_t longest = 0;
    for (const auto& sample : batch.samples) longest = std::max(longest, sample->tokens.size());
    mneme::Dataset samples;
    for (const auto& sample : batch.samples) {
      mneme::Sample longer = *sample;
      longer.tokens.insert(longer.tokens.begin(), longest - sample->tokens.size(), 0);
      longer.first_label += static_cast<std::int64_t>(longest - sample->tokens.size());
      samples.push_back(std::make_shared<const mneme::Sample>(std::move(longer)));
    }
    mneme::Batch made = batch;
    made.packed = mneme::make_batch(samples).packed;
    if (labelled) label_filling(made);
    return made;
  }

  /// Makes every filling token but the first of its sequence a label of the token before it.
  static void label_filling(mneme::Batch& batch) {
    const mneme::model::PackedBatch plain = batch.packed;
    std::vector<at::Tensor> rows, labels;
    std::vector<std::int64_t> label_offsets = {0};
    for (std::size_t i = 0; i < batch.samples.size(); ++i) {
      const std::int64_t first = plain.label_offsets[i], count = plain.label_offsets[i + 1] - first;
      const auto own = static_cast<std::int64_t>(batch.samples[i]->tokens.size()) - (count > 0 ? 1 : 0);
      const std::int64_t filling = std::max<std::int64_t>(plain.offsets[i + 1] - plain.offsets[i] - own - 1, 0);
      rows.push_back(at::arange(plain.offsets[i], plain.offsets[i] + filling, at::kLong));
      rows.push_back(plain.label_rows.narrow(0, first, count));
      labels.push_back(at::zeros({filling}, at::kLong));
      labels.push_back(plain.labels.narrow(0, first, count));
      label_offsets.push_back(label_offsets.back() + filling + count);
    }
    batch.packed.label_rows = at::cat(rows);
    batch.packed.labels = at::cat(labels);
    batch.packed.label_offsets = std::move(label_offsets);
  }

  /// The current samples' weight in the cross-entropy: their part of all label tokens of the step, or a half.
  double share_of(const mneme::Batch& current, const mneme::Batch& replay) const {
    if (!paper_) return 0.5;
    const auto labels = [](const mneme::Batch& batch) {
      return batch.label_share > 0 ? static_cast<double>(batch.packed.label_count()) / batch.label_share : 0.0;
    };
    return labels(current) / (labels(current) + labels(replay));
  }

  /// Cross-entropy of the replayed samples, and how far their hidden states are from the slow adapter's.
  void add_replay(mneme::Learner& learner, const mneme::Batch& replay, double weight, mneme::Terms& terms) const {
    mneme::ForwardSpec spec = learner.active();
    if (gamma_ > 0) spec.hidden = hidden_;
    const auto fast = learner.forward(spec, replay);
    terms.push_back({"replay", fast.losses.mean(), weight, replay.label_share});
    if (gamma_ == 0) return;
    const std::vector<at::Tensor> slow = slow_states(learner, replay);
    at::Tensor sum = at::zeros({}, at::kFloat);
    for (std::size_t i = 0; i < slow.size(); ++i) {
      // Of embeddings that nothing trains there is nothing to compare: they are the same.
      if (!fast.hidden[i].requires_grad()) continue;
      const at::Tensor state = fast.hidden[i].to(at::kFloat), target = slow[i].to(at::kFloat);
      // The one-sided square of max(slow - fast, 0) is that of the distance to the larger of the two.
      sum = sum +
            rows_share(learner, replay, i) * at::mse_loss(state, paper_ ? target : at::maximum(state.detach(), target));
    }
    terms.push_back({"consistency", sum / static_cast<double>(slow.size()), gamma_, 1.0});
  }

  /// Part of the step's rows of a hidden state that the micro-batch holds: of an encoder-decoder the encoder has a row
  /// per token of the prompt, the decoder one per label.
  double rows_share(mneme::Learner& learner, const mneme::Batch& replay, std::size_t state) const {
    const auto& config = learner.model().config();
    if (!config.encoder_decoder()) return replay.token_share;
    const bool encoder =
        hidden_ == mneme::model::HiddenStates::kAll && static_cast<std::int64_t>(state) <= config.num_hidden_layers;
    return encoder ? replay.prompt_share : replay.label_share;
  }

  /// The slow adapter's hidden states of a batch, without gradients.
  std::vector<at::Tensor> slow_states(mneme::Learner& learner, const mneme::Batch& batch) const {
    at::NoGradGuard off;
    mneme::ForwardSpec spec = mneme::with_adapters({slow_});
    spec.hidden = hidden_;
    spec.rows = mneme::model::RowsNeeded::kLast;  // no losses
    spec.dropout = false;
    return learner.forward(spec, batch).hidden;
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
