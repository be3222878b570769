#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/param_spec.h"
#include "core/strategy/params.h"
#include "core/strategy/toolchain.h"

namespace mneme {

class Strategy;

/// What a method needs or does that a fair table must show, and that the core must allow.
enum Capability : std::uint32_t {
  kNoCapability = 0,
  kTaskIdAtTest = 1U << 0,       ///< is told the task of a test prompt; others never see it
  kStoresExamples = 1U << 1,     ///< keeps training samples of past tasks
  kStoresModelCopy = 1U << 2,    ///< keeps copies of past parameters
  kGrowsWithTasks = 1U << 3,     ///< its state grows with every task
  kJointTraining = 1U << 4,      ///< trains on several tasks at once: no continual learner, a bound
  kGeneratesExamples = 1U << 5,  ///< writes samples of past tasks itself
  kAdaptsAtTest = 1U << 6,       ///< changes parameters while it answers
};

/// The names of the capabilities in a mask: "task_id_at_test", "stores_examples", …
std::vector<std::string> capability_names(std::uint32_t capabilities);

/// What a plugin exports as the constant `mneme_plugin_v1`. Grows only at its end, with a higher api_minor.
struct PluginDescriptor {
  std::uint32_t struct_size;  ///< sizeof as the plugin sees it
  std::uint32_t api_minor;
  const char* toolchain;  ///< MNEME_TOOLCHAIN as the plugin sees it
  const char* name;       ///< as in the config: "ewc"; also the library's file name
  const char* version;
  const char* citation;  ///< where the method comes from: "Kirkpatrick et al. 2017"; "" if nowhere
  const char* summary;   ///< one sentence
  std::uint32_t capabilities;
  ParamSpecs (*parameters)();  ///< schema of the settings
  std::unique_ptr<Strategy> (*create)(const Params& params);
};

/// The part of the descriptor that an author writes; see MNEME_STRATEGY_PLUGIN.
struct StrategyInfo {
  const char* name;
  const char* version;
  const char* citation;
  const char* summary;
  std::uint32_t capabilities = kNoCapability;
};

/// The descriptor of class T, which has a constructor from const Params& and a static function
/// ParamSpecs parameters().
template <class T>
constexpr PluginDescriptor describe_plugin(const StrategyInfo& info) {
  return {sizeof(PluginDescriptor),
          MNEME_PLUGIN_API_MINOR,
          MNEME_TOOLCHAIN,
          info.name,
          info.version,
          info.citation,
          info.summary,
          info.capabilities,
          &T::parameters,
          [](const Params& params) -> std::unique_ptr<Strategy> { return std::make_unique<T>(params); }};
}

}  // namespace mneme

/// Makes a library a strategy plugin: defines its two exported symbols, both constant data, so that opening the library
/// runs no code of this macro. At namespace scope, once per plugin:
///   MNEME_STRATEGY_PLUGIN(Ewc, {.name = "ewc", .version = "1.0", .citation = "Kirkpatrick et al. 2017",
///                               .summary = "A quadratic penalty around old weights, weighted by the Fisher
///                               diagonal"});
#define MNEME_STRATEGY_PLUGIN(Class, ...)                                                        \
  extern "C" {                                                                                   \
  __attribute__((visibility("default"))) extern const char MNEME_TOOLCHAIN_SYMBOL;               \
  __attribute__((visibility("default"))) extern const ::mneme::PluginDescriptor mneme_plugin_v1; \
  }                                                                                              \
  const char MNEME_TOOLCHAIN_SYMBOL = 1;                                                         \
  constinit const ::mneme::PluginDescriptor mneme_plugin_v1 =                                    \
      ::mneme::describe_plugin<Class>(::mneme::StrategyInfo __VA_ARGS__)
