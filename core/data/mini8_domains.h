#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "core/base/random.h"
#include "core/data/example.h"

namespace mneme::data {

/// One generated domain of `mini8`.
struct Mini8Domain {
  std::string_view name;
  std::string_view metric;     ///< id of the primary text metric
  std::string_view cue;        ///< the end of every prompt
  std::size_t kinds;           ///< kinds of answer, balanced within a split: letters, outcomes, operations
  std::size_t letters;         ///< answers are the first so many letters; 0: free text
  std::size_t max_new_tokens;  ///< limit of generation: somewhat more bytes than the longest answer has
  /// Draws one row (prompt, answer, source) whose answer is of that kind.
  Example (*draw)(RandomStream& random, std::size_t kind);
};

/// The eight domains in training order.
std::span<const Mini8Domain> mini8_domains();

}  // namespace mneme::data
