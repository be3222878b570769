#include "core/config/resolve.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/config/python_text.h"
#include "core/config/resolver_functions.h"
#include "core/config/utf8.h"

namespace mneme::config {

namespace {
constexpr std::size_t kMostActive = 200;
constexpr std::size_t kMostLevels = 500;
constexpr std::size_t kMostCopied = 500'000;

// An interpolation leads to a value that is still "???".
class MissingValue final : public ConfigError {
 public:
  using ConfigError::ConfigError;
};

std::string located(const Node& node, const std::string& what) {
  const std::string where = to_string(node.position());
  return where.empty() ? what : fmt::format("{}: {}", where, what);
}

Resolver::Parents below(const Resolver::Parents& parents, const Node& node) {
  Resolver::Parents result = parents;
  result.push_back(&node);
  return result;
}

// Undoes a push when a scope is left.
class Pushed {
 public:
  Pushed(std::vector<const Node*>& stack, const Node& node) : stack_(stack) { stack_.push_back(&node); }
  ~Pushed() { stack_.pop_back(); }
  Pushed(const Pushed&) = delete;
  Pushed& operator=(const Pushed&) = delete;

 private:
  std::vector<const Node*>& stack_;
};
}  // namespace

Resolver::Target Resolver::computed(Node node, const Parents& parents, bool raw) const {
  Target target;
  target.owner = std::make_shared<const Node>(std::move(node));
  target.node = target.owner.get();
  target.parents = parents;
  target.raw = raw;
  return target;
}

Resolver::Target Resolver::dereference(const Node& node, const Parents& parents) {
  if (!node.is_interpolation()) return {&node, parents, nullptr, false};
  if (std::find(active_.begin(), active_.end(), &node) != active_.end())
    throw ConfigError(located(node, fmt::format("the interpolation '{}' leads back to itself", node.as_string())));
  if (active_.size() >= kMostActive)
    throw ConfigError(located(node, fmt::format("more than {} interpolations lead one to another", kMostActive)));
  const Pushed pushed(active_, node);
  Target target = evaluate(parse_interpolation(node.as_string()), parents);
  if (target.owner && !target.node->is_container()) {
    Node placed = *target.node;
    placed.set_position_of(node);
    return computed(std::move(placed), parents, true);
  }
  return target;
}

Resolver::Target Resolver::evaluate(const Expression& expression, const Parents& parents) {
  switch (expression.shape) {
    case Expression::Shape::kScalar:
      return computed(expression.scalar, parents, true);
    case Expression::Shape::kConcat:
      return computed(Node::string(join(expression.parts, parents, false)), parents, true);
    case Expression::Shape::kNode:
      return node_interpolation(expression, parents);
    case Expression::Shape::kResolver:
      return resolver_call(expression, parents);
    case Expression::Shape::kList: {
      Node list = Node::list();
      for (const Expression& part : expression.parts) list.push_back(*evaluate(part, parents).node);
      return computed(std::move(list), parents, true);
    }
    case Expression::Shape::kDict:
      break;
  }
  Node map = Node::map();
  for (const auto& [key, value] : expression.entries)
    map.set_typed(key.kind(), key_text(key), *evaluate(value, parents).node);
  return computed(std::move(map), parents, true);
}

std::string Resolver::join(const std::vector<Expression>& parts, const Parents& parents, bool key) {
  std::string text;
  for (const Expression& part : parts) {
    if (part.shape == Expression::Shape::kScalar) {
      text += part.scalar.as_string();
      continue;
    }
    const Target target = evaluate(part, parents);
    if (key && !target.node->is_string())
      throw ConfigError(fmt::format("'{}' stands in a key and must be text, but is {} {}", part.text,
                                    kind_name(target.node->kind()), describe(*target.node)));
    text += python_text(*target.node);
  }
  return text;
}

Resolver::Target Resolver::node_interpolation(const Expression& expression, const Parents& parents) {
  const std::string key = join(expression.parts, parents, true);
  const std::optional<Target> target = select_absolute(parents, key, true);
  if (!target) {
    std::vector<std::string> names;
    if (root_.is_map()) names = root_.keys();
    throw ConfigError(fmt::format("there is no key '{}'{}", key, split_key(key).size() == 1 ? hint(key, names) : ""));
  }
  for (const Node* parent : parents)
    if (parent == target->node)
      throw ConfigError(fmt::format("'{}' leads to a value that holds the interpolation", key));
  return *target;
}

Resolver::Target Resolver::resolver_call(const Expression& expression, const Parents& parents) {
  std::string name;
  for (const Expression& part : expression.name) name += (name.empty() ? "" : ".") + join({part}, parents, true);
  std::vector<Target> arguments;
  for (const Expression& part : expression.parts) arguments.push_back(evaluate(part, parents));
  return ResolverFunctions(*this, parents).call(name, arguments);
}

std::optional<Resolver::Target> Resolver::select_absolute(const Parents& parents, std::string_view key,
                                                          bool missing_fails) {
  if (!key.starts_with('.')) {
    // Hydra's settings are no part of the configuration that its own values may look into.
    const bool inside_hydra = parents.size() > 1 && parents[1] == options_.hydra;
    if (options_.hydra && !inside_hydra && split_key(key)[0] == "hydra")
      throw ConfigError(fmt::format("Hydra's settings are read as ${{hydra:…}}: write ${{hydra:{}}}",
                                    key.size() > 6 ? key.substr(6) : "KEY"));
    return select_in(root_, {}, key, missing_fails);
  }
  std::size_t level = parents.size();
  if (level == 0) throw ConfigError(fmt::format("'{}' leads above the root", key));
  std::string_view rest = key.substr(1);
  for (; rest.starts_with('.'); rest.remove_prefix(1))
    if (level-- <= 1) throw ConfigError(fmt::format("'{}' leads above the root", key));
  const Parents above(parents.begin(), parents.begin() + static_cast<std::ptrdiff_t>(level - 1));
  return select_in(*parents[level - 1], above, rest, missing_fails);
}

std::optional<Resolver::Target> Resolver::select(std::string_view key) { return select_in(root_, {}, key, false); }

std::optional<Resolver::Target> Resolver::select_in(const Node& start, const Parents& parents, std::string_view key,
                                                    bool missing_fails) {
  Target at{&start, parents, nullptr, false};
  if (key.empty()) return at;
  const std::vector<std::string> parts = split_key(key);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const Node& node = *at.node;
    if (i > 0 && (!node.is_container() || at.raw)) {
      if (node.is_missing() && !missing_fails) return std::nullopt;
      const std::string path = fmt::format("{}", fmt::join(parts.begin(), parts.begin() + static_cast<long>(i), "."));
      throw NotAContainer(fmt::format("'{}' is no map or list and cannot hold '{}'", path, parts[i]));
    }
    const Node* child = nullptr;
    if (node.is_map()) {
      child = node.find_typed(Kind::kString, parts[i]);
    } else {
      const auto digits = parse_python_int(parts[i]);
      if (!digits) throw NotAContainer(fmt::format("'{}' is no index of a list", parts[i]));
      const Node index = Node::integer_digits(*digits);
      if (index.as_int() >= 0 && index.as_int() < static_cast<std::int64_t>(node.size()))
        child = &node.items()[static_cast<std::size_t>(index.as_int())];
    }
    if (!child) return std::nullopt;
    if (child->is_missing() && missing_fails)
      throw MissingValue(
          fmt::format("'{}' is still ???", fmt::join(parts.begin(), parts.begin() + static_cast<long>(i) + 1, ".")));
    Target next = dereference(*child, below(at.parents, node));
    if (!next.owner) next.owner = at.owner;
    at = std::move(next);
  }
  return at;
}

Node Resolver::resolved(const Target& target) {
  if (target.raw) return *target.node;
  if (target.node->is_container()) return resolved_container(*target.node, target.parents, "");
  return resolved_child(*target.node, target.parents, "");
}

Node Resolver::resolved_child(const Node& child, const Parents& parents, const std::string& path) {
  if (++copied_ > kMostCopied)
    throw ConfigError(fmt::format("more than {} values once interpolations are resolved", kMostCopied));
  if (child.is_container()) return resolved_container(child, parents, path);
  if (child.is_missing() && !options_.allow_missing) missing_.push_back(path);
  if (!child.is_interpolation()) return child;
  try {
    const Target target = dereference(child, parents);
    if (target.raw || !target.node->is_container()) return *target.node;
    const Parents* above = &target.parents;
    return resolved_container(*target.node, *above, path);
  } catch (const MissingValue& e) {
    if (options_.allow_missing)
      throw ConfigError(located(child, fmt::format("{} = '{}': {}", path, child.as_string(), e.message())));
    missing_.push_back(fmt::format("{} ({})", path, e.message()));
    return child;
  } catch (const ConfigError& e) {
    if (e.message().find(" = '${") != std::string::npos) throw;
    throw ConfigError(located(child, fmt::format("{} = '{}': {}", path, child.as_string(), e.message())));
  }
}

Node Resolver::resolved_container(const Node& node, const Parents& parents, const std::string& path) {
  if (std::find(expanding_.begin(), expanding_.end(), &node) != expanding_.end())
    throw ConfigError(located(node, fmt::format("{}: interpolations make this value hold itself", path)));
  if (expanding_.size() >= kMostLevels)
    throw ConfigError(located(node, fmt::format("{}: more than {} levels once interpolations are resolved",
                                                shortened(path, 100), kMostLevels)));
  const Pushed pushed(expanding_, node);
  const Parents inside = below(parents, node);
  const auto name = [&path](const std::string& key) { return path.empty() ? key : path + "." + key; };
  Node copy = node.is_map() ? Node::map() : Node::list();
  copy.set_position_of(node);
  copy.reserve(node.size());
  if (node.is_list()) {
    for (std::size_t i = 0; i < node.size(); ++i)
      copy.push_back(resolved_child(node.items()[i], inside, name(std::to_string(i))));
    return copy;
  }
  for (std::size_t i = 0; i < node.size(); ++i) {
    const auto& [key, value] = node.entries()[i];
    if (options_.skip_hydra && parents.empty() && key == "hydra") continue;
    copy.append_typed(node.key_kind(i), key, resolved_child(value, inside, name(key)));
  }
  return copy;
}

Node resolve(const Node& root, const ResolveOptions& options) {
  Resolver resolver(root, options);
  Node result = resolver.resolved({&root, {}, nullptr, false});
  if (!resolver.missing().empty()) {
    std::string lines;
    for (const std::string& key : resolver.missing()) lines += "\n  " + key;
    throw ConfigError(
        fmt::format("{}: these keys still have the value ??? and must be given, for instance as "
                    "key=value on the command line:{}",
                    root.position().file.empty() ? "configuration" : root.position().file, lines));
  }
  return result;
}

}  // namespace mneme::config
