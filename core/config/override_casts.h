#pragma once

#include <string>

#include "core/config/override_functions.h"

namespace mneme::config {

enum class Cast { kInt, kFloat, kText, kBool };

/// Python's int(), float(), bool() or Hydra's str() of a scalar. Throws ConfigError where Python raises.
Node cast_scalar(Cast cast, const Node& value);

/// The cast of a value: lists and maps element by element, choices value by value, ranges and intervals by their
/// numbers.
FunctionValue cast_value(Cast cast, const FunctionValue& value);

/// Python's == of two values.
bool element_equal(const Element& a, const Element& b);

/// JSON text of a value, one line.
std::string json_of(const Element& element);

// Python's arithmetic on whole numbers and floats.
Node add(const Node& a, const Node& b);
Node subtract(const Node& a, const Node& b);
Node absolute(const Node& a);

}  // namespace mneme::config
