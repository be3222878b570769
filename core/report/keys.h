#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/report/result.h"

namespace mneme::report {

/// Config keys by which runs may be grouped; groups with a name ("strategy") included.
std::vector<std::string> known_keys(const std::vector<Result>& runs);

/// The fewest keys that tell apart what `given` does not, in order of importance: names of groups, then keys near the
/// root. Never the seed or what equals it, nor what cannot change a result (launcher, hydra).
std::vector<std::string> distinguishing_keys(const std::vector<const Result*>& runs,
                                             const std::vector<std::string>& given);

/// Whether a key belongs to the strategy: rows that differ in such keys only are compared with each other.
bool is_strategy_key(const std::string& key);

/// The run's values of some keys.
std::vector<std::string> values_of(const Result& run, const std::vector<std::string>& keys);

/// "key=value" in two; throws UsageError.
std::pair<std::string, std::string> split_selector(const std::string& text);

}  // namespace mneme::report
