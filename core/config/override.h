#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/config/node.h"

namespace mneme::config {

/// A parsed value of the override grammar. Unlike a Node it remembers quotes, which the texts of swept jobs keep.
struct Element {
  enum class Shape { kScalar, kList, kDict };

  Element();
  ~Element();
  Element(const Element& other);
  Element(Element&& other) noexcept;
  Element& operator=(const Element& other);
  Element& operator=(Element&& other) noexcept;

  Shape shape = Shape::kScalar;
  Node scalar;
  char quote = 0;              ///< ' or " of a quoted string, else 0
  bool shuffle = false;        ///< a list written shuffle([…]): its order is drawn when it is used
  std::vector<Element> items;  ///< of a list
  std::vector<std::pair<Element, Element>> entries;  ///< of a dict; keys are unquoted scalars
};

/// The value as a node, without quotes. Throws ConfigError for a null key, which no configuration can hold.
Node to_node(const Element& element);

/// The value as it stands behind '=' in a job's override: Python numbers, escapes and quotes kept.
std::string element_text(const Element& element);

/// A value that stands for several.
struct Sweep {
  enum class Shape { kChoice, kRange, kInterval, kGlob, kTaskOrders };

  Shape shape = Shape::kChoice;
  bool simple = false;   ///< a choice written a,b rather than choice(a,b)
  bool shuffle = false;  ///< choices and ranges: in random order
  std::vector<Element> choices;
  Node start, stop, step;            ///< of a range; start and stop of an interval (floats)
  std::vector<std::string> include;  ///< of a glob
  std::vector<std::string> exclude;  ///< of a glob
  std::vector<std::string> tags;     ///< of tag(); of task orders the function's name, with start = n and step = seed
};

enum class OverrideType { kChange, kAdd, kForceAdd, kDelete };
enum class ValueType { kNone, kElement, kSimpleChoice, kChoice, kGlob, kRange, kInterval, kTaskOrders };

/// One override: key=value, +key=value, ++key=value, ~key or ~key=value.
struct Override {
  OverrideType type = OverrideType::kChange;
  std::string key;                     ///< dotted path or group with '/'
  std::optional<std::string> package;  ///< behind '@'
  ValueType value_type = ValueType::kNone;
  Element value;  ///< kElement
  Sweep sweep;    ///< every other type but kNone
  std::string text;
  Position position;             ///< of the override
  std::size_t value_offset = 0;  ///< of the value's first byte in text

  bool is_sweep() const { return value_type != ValueType::kNone && value_type != ValueType::kElement; }
  /// The key with its package and its prefix (+, ++, ~): what two overrides of the same thing share.
  std::string key_element() const;
  /// The key with its package.
  std::string full_key() const;
  bool is_hydra() const { return key.starts_with("hydra.") || key.starts_with("hydra/"); }
};

struct OverrideOptions {
  bool lenient = false;                 ///< '#' and letters beyond ASCII may stand in unquoted values (MNEME_LENIENT=1)
  bool compat_1_4 = false;              ///< json(…) as in the coming Hydra 1.4
  bool task_orders = false;             ///< permutations(…) and latin_square(…), which only sweeps know
  int number = 1;                       ///< which override of the command line this is, for positions
  std::string file = "<command line>";  ///< for positions
};

/// Options with `lenient` taken from the environment (MNEME_LENIENT=1).
OverrideOptions default_override_options();

/// Parses one override in Hydra 1.3.8's grammar. Throws ConfigError with the column, a caret and, where it helps, the
/// quoted form to paste.
Override parse_override(std::string_view text, const OverrideOptions& options = default_override_options());

/// Parses only a value, as it stands behind '='.
Override parse_override_value(std::string_view text, const OverrideOptions& options = default_override_options());

/// The values of a choice or range sweep in order, before any shuffling. Throws ConfigError for an interval (it cannot
/// be enumerated) and a glob (it needs the options of a group).
std::vector<Element> sweep_values(const Sweep& sweep);

/// Those names that a glob's include patterns take and its exclude patterns do not.
std::vector<std::string> glob_names(const Sweep& sweep, const std::vector<std::string>& names);

/// "<command line>:1:1: key=value: what": a message about an override; very long ones are cut.
std::string located(const Override& override, std::string_view what);

/// The text in single quotes for a POSIX shell, where it needs them.
std::string shell_quoted(std::string_view text);

}  // namespace mneme::config
