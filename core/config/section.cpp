#include "core/config/section.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/base/suggest.h"

namespace mneme::config {

namespace {
const Node& null_node() {
  static const Node node;
  return node;
}
}  // namespace

Section::Section(const Node& map, std::string path)
    : map_(&map), path_(std::move(path)), memory_(std::make_shared<Memory>()) {
  if (!map.is_map() && !map.is_null())
    throw ConfigError(fmt::format("{}: {}: expected a map, found {} {}", to_string(map.position()), path_,
                                  kind_name(map.kind()), describe(map)));
}

std::string Section::path_of(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

void Section::fail(std::string_view key, const std::string& what) const {
  const Node* node = map_->is_map() ? map_->find(key) : nullptr;
  const std::string where = to_string((node ? node : map_)->position());
  throw ConfigError(fmt::format("{}{}{}: {}", where, where.empty() ? "" : ": ", path_of(key), what));
}

const Node* Section::look_up(std::string_view key) const {
  memory_->asked.emplace(key);
  return map_->is_map() ? map_->find(key) : nullptr;
}

const Node& Section::need(std::string_view key) const {
  const Node* node = look_up(key);
  if (!node) {
    const std::vector<std::string> keys = map_->is_map() ? map_->keys() : std::vector<std::string>();
    const std::string near = nearest(key, keys);
    fail(key, fmt::format("the key is missing{}", near.empty() ? "" : fmt::format("; '{}' is there", near)));
  }
  if (node->is_missing())
    fail(key, fmt::format("the value is ??? and must be given, for instance as {}=VALUE", path_of(key)));
  return *node;
}

bool Section::has(std::string_view key) const { return map_->is_map() && map_->has(key); }

bool Section::is_null(std::string_view key) const {
  const Node* node = look_up(key);
  return !node || node->is_null();
}

template <class T, class F>
T Section::value(std::string_view key, std::optional<T> fallback, F&& convert) const {
  if (fallback && !look_up(key)) return *fallback;
  const Node& node = need(key);
  try {
    return convert(node);
  } catch (const ConfigError& e) {
    const std::string where = to_string(node.position());
    std::string what = e.message();
    if (!where.empty() && what.starts_with(where + ": ")) what.erase(0, where.size() + 2);
    fail(key, what);
  }
}

template <class T, class F>
std::vector<T> Section::values(std::string_view key, std::optional<std::vector<T>> fallback, F&& convert) const {
  return value<std::vector<T>>(key, std::move(fallback), [&](const Node& node) {
    std::vector<T> result;
    for (const Node& item : node.items()) result.push_back(convert(item));
    return result;
  });
}

bool Section::flag(std::string_view key, std::optional<bool> fallback) const {
  return value<bool>(key, fallback, [](const Node& n) { return n.as_bool(); });
}

std::int64_t Section::int64(std::string_view key, std::optional<std::int64_t> fallback) const {
  return value<std::int64_t>(key, fallback, [](const Node& n) { return n.as_int(); });
}

double Section::real(std::string_view key, std::optional<double> fallback) const {
  return value<double>(key, fallback, [](const Node& n) { return n.as_float(); });
}

std::string Section::text(std::string_view key, std::optional<std::string> fallback) const {
  return value<std::string>(key, std::move(fallback), [](const Node& n) { return n.as_string(); });
}

std::string Section::choice(std::string_view key, const std::vector<std::string>& choices,
                            std::optional<std::string> fallback) const {
  const std::string found = text(key, std::move(fallback));
  if (std::find(choices.begin(), choices.end(), found) == choices.end())
    fail(key, fmt::format("expected one of {}, found '{}'{}", fmt::join(choices, ", "), found,
                          nearest(found, choices).empty() ? "" : hint(found, choices)));
  return found;
}

std::vector<std::string> Section::texts(std::string_view key, std::optional<std::vector<std::string>> fallback) const {
  return values<std::string>(key, std::move(fallback), [](const Node& n) { return n.as_string(); });
}

std::vector<std::int64_t> Section::int64s(std::string_view key,
                                          std::optional<std::vector<std::int64_t>> fallback) const {
  return values<std::int64_t>(key, std::move(fallback), [](const Node& n) { return n.as_int(); });
}

std::vector<double> Section::reals(std::string_view key, std::optional<std::vector<double>> fallback) const {
  return values<double>(key, std::move(fallback), [](const Node& n) { return n.as_float(); });
}

std::optional<std::int64_t> Section::maybe_int64(std::string_view key) const {
  if (is_null(key)) return std::nullopt;
  return int64(key);
}

std::optional<double> Section::maybe_real(std::string_view key) const {
  if (is_null(key)) return std::nullopt;
  return real(key);
}

std::optional<std::string> Section::maybe_text(std::string_view key) const {
  if (is_null(key)) return std::nullopt;
  return text(key);
}

Section Section::section(std::string_view key) const {
  const Node* node = look_up(key);
  Section result(node ? *node : null_node(), path_of(key));
  memory_->sections.push_back(result);
  return result;
}

const Node& Section::node(std::string_view key) const {
  const Node* node = look_up(key);
  return node ? *node : null_node();
}

void Section::finish() const {
  if (map_->is_map())
    for (const auto& [key, value] : map_->entries())
      if (!memory_->asked.contains(key)) {
        const std::vector<std::string> known(memory_->asked.begin(), memory_->asked.end());
        fail(key, fmt::format("nothing reads this key{}", hint(key, known)));
      }
  for (const Section& section : memory_->sections) section.finish();
}

}  // namespace mneme::config
