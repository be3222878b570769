#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/node.h"
#include "core/config/override.h"

namespace mneme::config {

/// One key of a sweep with its values.
struct SweepAxis {
  Override key;                  ///< type, key and package; the value is taken from `values`
  std::vector<Override> values;  ///< one override per value
  bool zipped = false;           ///< moves together with the block's other zipped axes
  std::size_t place = 0;         ///< among a run's overrides
};

/// One block of a sweep: the product of its axes (zipped ones count as one), filtered by `where`.
struct SweepBlock {
  std::vector<SweepAxis> axes;
  std::string where;  ///< "" takes all
  Position where_position;
};

/// The settings of a `sweep:` block (LANGUAGE.md).
struct SweepSettings {
  std::string name;
  std::vector<std::string> base;
  std::vector<std::string> order;  ///< keys from the slowest to the fastest
  bool dedup = false;
  bool allow_empty = false;
  std::string on_error = "continue";
  std::int64_t seed = 0;
};

/// What expanding a value may need to ask.
struct SweepContext {
  std::function<std::vector<std::string>(const std::string& group)> group_options;  ///< for globs
  std::function<Node(const std::string& key)> composed_value;  ///< for permutations() and latin_square()
  std::int64_t seed = 0;                                       ///< of shuffle()
};

/// The single overrides that a sweep override stands for, in order; an override without a sweep stands for itself.
std::vector<Override> expand_override(const Override& override, const SweepContext& context);

/// Draws the order of every shuffle([…]) list in a value.
void draw_orders(Element& element, std::int64_t seed, const std::string& key);

/// A node as an element: texts that would read as something else are quoted.
Element to_element(const Node& node);

/// Reads the settings and blocks of a `sweep:` map; `options_for` gives the parser's options for a value's position.
/// Throws ConfigError for unknown keys, wrong types and zips of different lengths.
SweepSettings read_sweep_settings(const Node& sweep);

struct ParsedBlock {
  std::vector<Override> grid;
  std::vector<Override> zip;
  std::string where;
  Position where_position;
};
std::vector<ParsedBlock> read_sweep_blocks(const Node& sweep);

/// Overrides of a map of key -> values, as in a block's grid or in hydra.sweeper.params.
std::vector<Override> read_axes(const Node& map, const std::string& path);

/// How many combinations a block has; at most `most` + 1.
std::size_t count_combinations(const SweepBlock& block, std::size_t most);

/// Calls take(assignment) for every combination of a block's axes, the last axis fastest.
void for_each_combination(const SweepBlock& block,
                          const std::function<void(const std::vector<const Override*>&)>& take);

}  // namespace mneme::config
