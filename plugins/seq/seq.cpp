/// \file Sequential fine-tuning: one adapter (or all weights) trained on task after task, nothing else. The lower
/// bound.
///
/// Source: METHODS B1 (SeqFT, SeqLoRA), as in O-LoRA's and TRACE's baselines.
///
/// Deviations: none. The optimiser's lifetime, which differs between published codes, is train.optimizer_reset.
#include "core/plugin.h"

namespace {

class Seq final : public mneme::Strategy {
 public:
  static mneme::ParamSpecs parameters() { return {}; }
  explicit Seq(const mneme::Params&) {}
};

}  // namespace

MNEME_STRATEGY_PLUGIN(Seq, {.name = "seq",
                            .version = "1.0",
                            .citation = "",
                            .summary = "Sequential fine-tuning without any measure against forgetting"});
