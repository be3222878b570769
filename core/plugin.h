#pragma once
/// \file Everything that the author of a strategy needs.
///
/// A strategy is one C++ file. This one pulls the trained parameters towards where the last task left them:
///
///     #include <core/plugin.h>
///
///     namespace {
///     class Anchor final : public mneme::Strategy {
///      public:
///       static mneme::ParamSpecs parameters() {
///         return {{"strength", mneme::ParamType::kReal, "0.1", ">= 0", "weight of the pull"}};
///       }
///       explicit Anchor(const mneme::Params& p) : strength_(p.real("strength")) {}
///
///       mneme::Terms loss(mneme::Learner& learner, const mneme::StepBatch& step) override {
///         mneme::Terms terms = Strategy::loss(learner, step);
///         if (!anchor_.defined() || strength_ == 0) return terms;
///         const at::Tensor distance = (learner.parameters() - anchor_).square().sum();
///         terms.push_back(learner.regulariser("anchor", distance, strength_, step));
///         return terms;
///       }
///       void after_task(mneme::Learner& learner, const mneme::TaskView&) override {
///         anchor_ = learner.bank().values().clone();
///       }
///       void visit_state(mneme::StateVisitor& v) override { v.tensor("anchor", anchor_); }
///       mneme::MemoryNeed memory(const mneme::MemoryCase& run) const override { return {.kept = run.vectors(1)}; }
///
///      private:
///       double strength_;
///       at::Tensor anchor_;  // [n]; undefined before the first task has ended
///     };
///     }  // namespace
///
///     MNEME_STRATEGY_PLUGIN(Anchor, {.name = "anchor", .version = "1.0", .citation = "",
///                                    .summary = "A quadratic pull towards the last task's parameters"});
///
/// and its CMakeLists.txt is `mneme_add_strategy(anchor SOURCES anchor.cpp CONFIG anchor.yaml)`, in the tree or, after
/// `find_package(mneme)`, out of it. All tensors of parameters are fp32; sequences are packed end to end, never padded.

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "core/base/error.h"
#include "core/strategy/analytic_router.h"
#include "core/strategy/connectivity.h"
#include "core/strategy/descriptor.h"
#include "core/strategy/importance.h"
#include "core/strategy/orthogonality.h"
#include "core/strategy/prompt_features.h"
#include "core/strategy/prototype_router.h"
#include "core/strategy/replay_buffer.h"
#include "core/strategy/routing_check.h"
#include "core/strategy/strategy.h"
#include "core/strategy/unit_fusion.h"
#include "core/strategy/unit_partition.h"
