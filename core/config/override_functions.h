#pragma once

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/config/override.h"

namespace mneme::config {

using FunctionValue = std::variant<Element, Sweep>;

/// A call in the override grammar: choice(1, 2), sort(3, 1, reverse=true).
struct FunctionCall {
  std::string name;
  std::vector<FunctionValue> positional;
  std::vector<std::pair<std::string, FunctionValue>> named;
};

/// The value of a call: choice, range, glob, interval, sort, shuffle, tag and the casts int, float, str, bool (json
/// with compat_1_4), with the argument checks and results of Hydra 1.3.8. Throws ConfigError saying what is wrong.
FunctionValue call_function(const FunctionCall& call, const OverrideOptions& options);

/// Python's == of two scalars: 1, 1.0 and true are equal.
bool python_equal(const Node& a, const Node& b);

}  // namespace mneme::config
