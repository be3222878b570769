#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mneme {

/// Damerau-Levenshtein distance (optimal string alignment) between two byte strings.
std::size_t edit_distance(std::string_view a, std::string_view b);

/// The candidate nearest to word if it is near enough to be a slip of the pen (distance <= 1 + length/4, where a common
/// "group." in front does not count), else the only one that word abbreviates ("lr": "learning_rate"), else "".
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

/// "; did you mean 'x'?" when there is a near candidate, else "; known: a, b, c".
std::string hint(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace mneme
