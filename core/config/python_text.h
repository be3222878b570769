#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/config/node.h"

namespace mneme::config {

/// A double as Python's repr() writes it: shortest digits that read back; fixed for -4 <= exponent < 16, else with an
/// exponent of at least two digits ("1e-05"); "inf", "-inf", "nan".
std::string python_float_text(double value);

/// What Python's float(text) gives: blanks around and single underscores between digits are taken, "inf", "infinity"
/// and "nan" in any case. Nothing where Python raises.
std::optional<double> parse_python_float(std::string_view text);

/// The decimal digits of what Python's int(text, base) gives (base 2, 8, 10 or 16; no prefixes). Nothing where Python
/// raises: also for more than 4300 decimal digits.
std::optional<std::string> parse_python_int(std::string_view text, int base = 10);

/// Python's str() of a value: True, None, 1e-05, ['x', 'y'], {'a': 1}; a string stands for itself.
std::string python_text(const Node& node);

/// Python's repr() of a value: as python_text, but strings are quoted.
std::string python_repr(const Node& node);

/// Python's repr() of a string: single quotes unless it holds one and no double quote; control characters escaped.
std::string python_repr(std::string_view text);

}  // namespace mneme::config
