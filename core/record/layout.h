#pragma once

#include <array>
#include <string_view>

#include "core/record/h5/h5.h"

/// Layout version 1 of run.h5: paths, columns and attributes by name. README.md beside this file describes it for
/// readers.
namespace mneme::record::layout {

constexpr std::string_view kFormat = "mneme-run";
constexpr std::int64_t kVersion = 1;

constexpr const char* kResolved = "/config/resolved";
constexpr const char* kOverrides = "/config/overrides";
constexpr const char* kEnvironment = "/environment";
constexpr const char* kTasks = "/stream/tasks";
constexpr const char* kSteps = "/train/steps";
constexpr const char* kTerms = "/train/terms";
constexpr const char* kScores = "/eval/scores";
constexpr const char* kMetrics = "/eval/metrics";
constexpr const char* kExamples = "/eval/examples";
constexpr const char* kCosts = "/cost/tasks";
constexpr const char* kAnalysis = "/analysis";

constexpr std::array<const char*, 9> kEnvironmentTexts{
    "program_version", "git_commit",     "compiler",          "libtorch", "cpu", "gpu",
    "strategy",        "plugin_version", "plugin_fingerprint"};
constexpr std::array<const char*, 2> kEnvironmentIntegers{"threads", "seed"};

using enum h5::ColumnType;
constexpr std::array<h5::Column, 8> kTaskColumns{{{"name", kText},
                                                  {"metric", kText},
                                                  {"train_rows", kInt},
                                                  {"eval_rows", kInt},
                                                  {"test_rows", kInt},
                                                  {"train_sha256", kText},
                                                  {"eval_sha256", kText},
                                                  {"test_sha256", kText}}};
constexpr std::array<h5::Column, 8> kStepColumns{{{"task", kInt},
                                                  {"phase", kInt},
                                                  {"epoch", kInt},
                                                  {"step", kInt},
                                                  {"lr", kReal},
                                                  {"loss", kReal},
                                                  {"tokens", kInt},
                                                  {"seconds", kReal}}};
constexpr std::array<h5::Column, 3> kTermColumns{{{"step", kInt}, {"name", kText}, {"value", kReal}}};
constexpr std::array<h5::Column, 5> kExampleColumns{
    {{"after", kInt}, {"task", kInt}, {"row_id", kText}, {"prediction", kText}, {"score", kReal}}};
constexpr std::array<h5::Column, 9> kCostColumns{{{"task", kInt},
                                                  {"train_seconds", kReal},
                                                  {"eval_seconds", kReal},
                                                  {"strategy_seconds", kReal},
                                                  {"tokens", kInt},
                                                  {"flops", kReal},
                                                  {"peak_bytes", kInt},
                                                  {"trainable_parameters", kInt},
                                                  {"state_bytes", kInt}}};

}  // namespace mneme::record::layout
