#pragma once

/// \file
/// Everything that the author of a strategy needs, and the only header of Mneme that a plugin includes.
///
/// A strategy is one class in one source file that overrides what it wants to do differently from plain sequential
/// fine-tuning. A complete one, anchor.cpp, which pulls the parameters back to where the last task left them:
///
///   /// Source: an example; the penalty lambda/2 · |w - w_old|^2.
///   /// Deviations: none.
///   #include "core/plugin.h"
///
///   #include <ATen/ATen.h>
///
///   namespace {
///
///   class Anchor final : public mneme::Strategy {
///    public:
///     explicit Anchor(const mneme::Params& params) : lambda_(params.real("lambda")) {}
///
///     static mneme::ParamSpecs parameters() {
///       return {{"lambda", mneme::ParamType::kReal, "0.1", ">= 0", "strength of the pull to the old parameters"}};
///     }
///     void before_step(mneme::Learner& learner, at::Tensor& gradient) override {
///       if (old_.defined() && lambda_ > 0) gradient.add_(learner.bank().values() - old_, lambda_);
///     }
///     void after_task(mneme::Learner& learner, const mneme::TaskView&) override {
///       old_ = learner.bank().values().clone();
///     }
///     void visit_state(mneme::StateVisitor& visitor) override { visitor.tensor("old", old_); }
///
///    private:
///     double lambda_;
///     at::Tensor old_;  // [n], undefined before the first task ends
///   };
///
///   }  // namespace
///
///   MNEME_STRATEGY_PLUGIN(Anchor, {.name = "anchor", .version = "1.0", .citation = "none",
///                                  .summary = "Pulls the parameters back to where the last task left them",
///                                  .capabilities = mneme::kStoresModelCopy});
///
/// Beside it lie anchor.yaml, the settings as the config group `strategy` offers them, and a CMakeLists.txt with one
/// call, the same in this tree (plugins/anchor/) and in a project of your own:
///
///   find_package(mneme REQUIRED)   # only in a project of your own
///   mneme_add_strategy(anchor SOURCES anchor.cpp CONFIG anchor.yaml)
///
/// Out of the tree, name the directory of the built library with --plugin-path or MNEME_PLUGIN_PATH.

#include "core/adapter/bank.h"
#include "core/adapter/forward_spec.h"
#include "core/adapter/state.h"
#include "core/base/error.h"
#include "core/base/random.h"
#include "core/strategy/descriptor.h"
#include "core/strategy/learner.h"
#include "core/strategy/params.h"
#include "core/strategy/replay_buffer.h"
#include "core/strategy/sample.h"
#include "core/strategy/strategy.h"
