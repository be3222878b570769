#pragma once

#include <vector>

#include "core/config/node.h"
#include "core/config/override.h"

namespace mneme::config {

/// The orders of a list that permutations(n=…, seed=…) or latin_square(seed=…) stands for, each as a list element.
/// permutations: n different orders drawn at random, all of them if n is not given (at most 5040).
/// latin_square: as many orders as the list has items; every item stands at every place once, and for an even number of
/// items also directly behind every other item once (Williams 1949).
/// Throws ConfigError if the value is no list of at least one item, or has fewer than n orders.
std::vector<Element> task_orders(const Sweep& sweep, const Node& list);

}  // namespace mneme::config
