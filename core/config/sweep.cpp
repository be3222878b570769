#include "core/config/sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/base/error.h"
#include "core/base/random.h"
#include "core/base/suggest.h"
#include "core/config/section.h"
#include "core/config/task_orders.h"

namespace mneme::config {

namespace {
[[noreturn]] void fail_at(const Node& node, const std::string& what) {
  const std::string where = to_string(node.position());
  throw ConfigError(fmt::format("{}{}{}", where, where.empty() ? "" : ": ", what));
}

OverrideOptions options_at(const Node& node) {
  OverrideOptions options = default_override_options();
  const Position position = node.position();
  options.file = position.file;
  options.number = position.line;
  options.task_orders = true;
  return options;
}

Override axis(const std::string& key, const Node& value, const std::string& path) {
  const OverrideOptions options = options_at(value);
  if (value.is_map())
    fail_at(value, fmt::format("{}.{}: the values of a sweep are a text such as \"1,2\" or a list", path, key));
  if (value.is_string()) return parse_override(key + "=" + value.as_string(), options);
  Override override = parse_override(key + "=", options);
  if (!value.is_list()) {
    override.value = to_element(value);
    return override;
  }
  override.value_type = ValueType::kChoice;
  for (const Node& item : value.items()) override.sweep.choices.push_back(to_element(item));
  return override;
}

void shuffle_elements(std::vector<Element>& elements, std::int64_t seed, const std::string& key) {
  RandomStream(static_cast<std::uint64_t>(seed), "shuffle/" + key).shuffle(elements);
}

std::vector<Element> elements_of(const Override& override, const SweepContext& context) {
  const Sweep& sweep = override.sweep;
  if (sweep.shape == Sweep::Shape::kTaskOrders) return task_orders(sweep, context.composed_value(override.key));
  if (sweep.shape != Sweep::Shape::kGlob) {
    std::vector<Element> values = sweep_values(sweep);
    if (sweep.shuffle) shuffle_elements(values, context.seed, override.key);
    return values;
  }
  std::vector<Element> values;
  for (const std::string& name : glob_names(sweep, context.group_options(override.key)))
    values.push_back(to_element(Node::string(name)));
  return values;
}
}  // namespace

std::vector<Override> expand_override(const Override& override, const SweepContext& context) {
  if (!override.is_sweep()) {
    std::vector<Override> single{override};
    draw_orders(single[0].value, context.seed, override.key);
    return single;
  }
  std::vector<Element> values;
  try {
    values = elements_of(override, context);
  } catch (const ConfigError& e) {
    throw ConfigError(located(override, e.message()));
  }
  Override bare;  // without the sweep, which would be copied for every value
  bare.type = override.type;
  bare.key = override.key;
  bare.package = override.package;
  bare.value_type = ValueType::kElement;
  bare.position = override.position;
  bare.value_offset = override.value_offset;
  std::vector<Override> result;
  result.reserve(values.size());
  for (Element& value : values) {
    Override single = bare;
    draw_orders(value, context.seed, override.key);
    single.value = std::move(value);
    single.value.scalar.set_position(override.position);
    single.text = fmt::format("{}={}", single.key_element(), element_text(single.value));
    result.push_back(std::move(single));
  }
  return result;
}

void draw_orders(Element& element, std::int64_t seed, const std::string& key) {
  if (element.shuffle) shuffle_elements(element.items, seed, key);
  element.shuffle = false;
  for (Element& item : element.items) draw_orders(item, seed, key);
  for (auto& entry : element.entries) draw_orders(entry.second, seed, key);
}

Element to_element(const Node& node) {
  Element element;
  element.scalar.set_position_of(node);
  if (node.is_list()) {
    element.shape = Element::Shape::kList;
    for (const Node& item : node.items()) element.items.push_back(to_element(item));
    return element;
  }
  if (node.is_map()) {
    element.shape = Element::Shape::kDict;
    for (std::size_t i = 0; i < node.size(); ++i) {
      const auto& [key, value] = node.entries()[i];
      Element name;
      if (node.key_kind(i) == Kind::kString)
        name.scalar = Node::string(key);
      else
        name = parse_override_value(key).value;
      element.entries.emplace_back(std::move(name), to_element(value));
    }
    return element;
  }
  element.scalar = node;
  if (!node.is_string()) return element;
  try {
    const Override read = parse_override_value(element_text(element));
    const bool same = read.value_type == ValueType::kElement && read.value.shape == Element::Shape::kScalar &&
                      read.value.quote == 0 && read.value.scalar == node;
    if (!same) element.quote = '"';
  } catch (const ConfigError&) {
    element.quote = '"';
  }
  return element;
}

std::vector<Override> read_axes(const Node& map, const std::string& path) {
  std::vector<Override> axes;
  if (map.is_null()) return axes;
  if (!map.is_map())
    fail_at(map, fmt::format("{}: expected a map of key: values, found a {}", path, kind_name(map.kind())));
  for (const auto& [key, value] : map.entries()) axes.push_back(axis(key, value, path));
  return axes;
}

namespace {
const std::vector<std::string>& sweep_keys() {
  static const std::vector<std::string> keys = {"name",  "base",  "grid",     "zip",         "where", "blocks",
                                                "order", "dedup", "on_error", "allow_empty", "seed"};
  return keys;
}

ParsedBlock read_block(const Node& map, const std::string& path) {
  ParsedBlock block;
  if (const Node* grid = map.find("grid")) block.grid = read_axes(*grid, path + ".grid");
  if (const Node* zip = map.find("zip")) block.zip = read_axes(*zip, path + ".zip");
  if (const Node* where = map.find("where"); where && !where->is_null()) {
    block.where = where->as_string();
    block.where_position = where->position();
  }
  std::set<std::string> keys;
  for (const auto* axes : {&block.grid, &block.zip})
    for (const Override& override : *axes)
      if (!keys.insert(override.full_key()).second)
        throw ConfigError(fmt::format("{}: {}: the key '{}' is swept twice in one block", to_string(override.position),
                                      path, override.full_key()));
  return block;
}
}  // namespace

SweepSettings read_sweep_settings(const Node& sweep) {
  if (!sweep.is_map()) fail_at(sweep, fmt::format("sweep: expected a map, found a {}", kind_name(sweep.kind())));
  for (const auto& [key, value] : sweep.entries())
    if (std::find(sweep_keys().begin(), sweep_keys().end(), key) == sweep_keys().end())
      fail_at(value, fmt::format("sweep.{}: there is no such setting{}", key, hint(key, sweep_keys())));
  const Section section(sweep, "sweep");
  SweepSettings settings;
  settings.name = section.maybe_text("name").value_or("");
  if (!section.is_null("base")) settings.base = section.texts("base");
  if (!section.is_null("order")) settings.order = section.texts("order");
  settings.dedup = section.flag("dedup", false);
  settings.allow_empty = section.flag("allow_empty", false);
  settings.on_error = section.choice("on_error", {"continue", "stop"}, "continue");
  settings.seed = section.int64("seed", 0);
  return settings;
}

std::vector<ParsedBlock> read_sweep_blocks(const Node& sweep) {
  std::vector<ParsedBlock> blocks;
  if (sweep.has("grid") || sweep.has("zip") || sweep.has("where")) blocks.push_back(read_block(sweep, "sweep"));
  const Node* list = sweep.find("blocks");
  if (!list || list->is_null()) return blocks;
  if (!list->is_list())
    fail_at(*list, fmt::format("sweep.blocks: expected a list, found a {}", kind_name(list->kind())));
  const std::vector<std::string> known = {"grid", "zip", "where"};
  for (std::size_t i = 0; i < list->size(); ++i) {
    const Node& item = list->items()[i];
    const std::string path = fmt::format("sweep.blocks.{}", i);
    if (!item.is_map()) fail_at(item, fmt::format("{}: expected a map, found a {}", path, kind_name(item.kind())));
    for (const auto& [key, value] : item.entries())
      if (std::find(known.begin(), known.end(), key) == known.end())
        fail_at(value, fmt::format("{}.{}: there is no such setting{}", path, key, hint(key, known)));
    blocks.push_back(read_block(item, path));
  }
  return blocks;
}

std::size_t count_combinations(const SweepBlock& block, std::size_t most) {
  std::size_t count = 1;
  bool zip_counted = false;
  for (const SweepAxis& axis : block.axes) {
    if (axis.zipped && zip_counted) continue;
    zip_counted = zip_counted || axis.zipped;
    if (axis.values.empty()) return 0;
    count = count > most / axis.values.size() ? most + 1 : count * axis.values.size();
  }
  return std::min(count, most + 1);
}

void for_each_combination(const SweepBlock& block,
                          const std::function<void(const std::vector<const Override*>&)>& take) {
  // The zipped axes turn together, as one wheel at the place of the last of them.
  std::vector<std::size_t> lengths;  // per wheel
  std::vector<std::size_t> wheel_of(block.axes.size());
  std::size_t last_zipped = block.axes.size();
  for (std::size_t i = 0; i < block.axes.size(); ++i)
    if (block.axes[i].zipped) last_zipped = i;
  for (std::size_t i = 0; i < block.axes.size(); ++i) {
    if (block.axes[i].zipped && i != last_zipped) continue;
    wheel_of[i] = lengths.size();
    lengths.push_back(block.axes[i].values.size());
  }
  for (std::size_t i = 0; i < block.axes.size(); ++i)
    if (block.axes[i].zipped) wheel_of[i] = wheel_of[last_zipped];
  if (std::find(lengths.begin(), lengths.end(), 0u) != lengths.end()) return;
  std::vector<std::size_t> at(lengths.size(), 0);
  for (;;) {
    std::vector<const Override*> assignment;
    for (std::size_t i = 0; i < block.axes.size(); ++i) assignment.push_back(&block.axes[i].values[at[wheel_of[i]]]);
    take(assignment);
    std::size_t wheel = lengths.size();
    while (wheel > 0 && ++at[wheel - 1] == lengths[wheel - 1]) at[--wheel] = 0;
    if (wheel == 0) return;
  }
}

}  // namespace mneme::config
