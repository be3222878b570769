#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

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

/// A word of the domains and what it means.
struct Mini8Word {
  std::string_view word, meaning;
};

/// What a base model knows beforehand, as a real one does: words and their meanings, in no task's form, with no label.
std::vector<Mini8Word> mini8_lexicon();

}  // namespace mneme::data
