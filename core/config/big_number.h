#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/node.h"

namespace mneme::config {

// Exact arithmetic where 64 bits or doubles do not do.

/// Decimal digits of a whole number written in another base (2 to 16, no sign, no prefix).
std::string decimal_digits(std::string_view digits, int base);

/// Decimal digits of a YAML 1.1 number in base 60: "12:30:45" gives "45045". Underscores are gone already.
std::string sexagesimal_digits(std::string_view text);

/// Decimal digits of the whole part of a finite double, as Python's int() gives it.
std::string truncated_digits(double value);

/// Compares two whole numbers given by their digits (with '-'): negative, 0 or positive.
int compare_digits(std::string_view a, std::string_view b);

/// Digits of a + b and of -a.
std::string sum_digits(std::string_view a, std::string_view b);
std::string negated_digits(std::string_view a);

/// The values of a range: start, start + step, … up to but without stop. Whole numbers where all three are whole
/// (booleans count as 0 and 1), else floats computed from the decimal texts of the three, so that 0.1 stays 0.1
/// (deviation D19). Throws ConfigError for a step of zero, numbers that are not finite and more than `most` values.
std::vector<Node> range_values(const Node& start, const Node& stop, const Node& step, std::size_t most = 1'000'000);

}  // namespace mneme::config
