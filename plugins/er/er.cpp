/// \file Experience replay from a reservoir.
/// Source: Chaudhry et al. 2019, "On tiny episodic memories in continual learning"; METHODS B6:
///   loss = CE(current) + weight · CE(replay).
/// Deviations: replay starts with the second task, so that a single task is plain fine-tuning; a step's own samples
/// enter the reservoir after the draw, so that they are never replayed at once. The published LLMCL code never fills
/// its buffer, or puts replayed rows back into it; this does neither.
#include "core/plugin.h"

namespace {

class Er final : public mneme::Strategy {
 public:
  static mneme::ParamSpecs parameters() {
    using enum mneme::ParamType;
    return {{"capacity", kInt, "500", ">= 0", "samples that the reservoir holds, over all tasks"},
            {"weight", kReal, "1.0", ">= 0", "factor on the replayed samples' cross-entropy"},
            {"replay_batch", kInt, "0", ">= 0", "replayed samples per step; 0: as many as the step's own"}};
  }
  explicit Er(const mneme::Params& p)
      : capacity_(p.integer("capacity")), weight_(p.real("weight")), replay_batch_(p.integer("replay_batch")) {}

  void attach(mneme::Learner& learner) override {
    Strategy::attach(learner);
    buffer_.emplace(capacity_, learner.random("reservoir"));
  }

  void before_task(mneme::Learner&, const mneme::TaskView& task) override { stage_ = task.stage; }

  mneme::StepParts compose(mneme::Learner&, mneme::Dataset samples) override {
    mneme::StepParts parts;
    const std::int64_t wanted = replay_batch_ > 0 ? replay_batch_ : static_cast<std::int64_t>(samples.size());
    if (stage_ > 1 && weight_ > 0 && buffer_->size() > 0) parts["replay"] = buffer_->draw(wanted);
    for (const auto& sample : samples) buffer_->insert(sample);
    parts["current"] = std::move(samples);
    return parts;
  }

  mneme::Terms loss(mneme::Learner& learner, const mneme::StepBatch& step) override {
    mneme::Terms terms;
    if (const auto* current = step.find("current")) terms.push_back(learner.cross_entropy(learner.active(), *current));
    if (const auto* replay = step.find("replay")) {
      terms.push_back(learner.cross_entropy(learner.active(), *replay, "replay"));
      terms.back().weight = weight_;
    }
    return terms;
  }

  void visit_state(mneme::StateVisitor& visitor) override { visitor.object("buffer", *buffer_); }

 private:
  std::int64_t capacity_;
  double weight_;
  std::int64_t replay_batch_;
  std::int64_t stage_ = 0;
  std::optional<mneme::ReplayBuffer> buffer_;
};

}  // namespace

MNEME_STRATEGY_PLUGIN(Er, {.name = "er",
                           .version = "1.0",
                           .citation = "Chaudhry et al. 2019",
                           .summary = "Replay of stored samples beside each step's own",
                           .capabilities = mneme::kStoresExamples});
