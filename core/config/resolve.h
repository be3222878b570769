#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/config/interpolation_grammar.h"
#include "core/config/node.h"

namespace mneme::config {

struct ResolveOptions {
  bool allow_missing = false;   ///< keep "???" rather than refuse it, as `config show --resolve` does
  const Node* hydra = nullptr;  ///< what ${hydra:…} reads; it resolves its own interpolations under root
  bool skip_hydra = false;      ///< leave the root's key `hydra` as it is
  std::vector<std::string>* warnings = nullptr;  ///< receives the notes of ${oc.deprecated:…}
};

/// The configuration with every interpolation replaced by its value. Throws ConfigError naming the key and position of
/// an interpolation that cannot be resolved and, in one message, all keys that are still "???".
Node resolve(const Node& root, const ResolveOptions& options = {});

/// A key leads through a scalar.
class NotAContainer final : public ConfigError {
 public:
  using ConfigError::ConfigError;
};

/// Evaluates interpolations of one configuration, which must not change meanwhile.
class Resolver {
 public:
  /// A node in the tree or a computed one, with the containers above it (the root first).
  struct Target {
    const Node* node = nullptr;
    std::vector<const Node*> parents;
    std::shared_ptr<const Node> owner;  ///< keeps a computed node alive
    bool raw = false;                   ///< computed by a resolver such as oc.decode: plain data, no place to select in
  };
  using Parents = std::vector<const Node*>;

  explicit Resolver(const Node& root, const ResolveOptions& options = {}) : root_(root), options_(options) {}

  /// What an interpolation stands for, following interpolations to their end. Other nodes stand for themselves.
  Target dereference(const Node& node, const Parents& parents);

  /// The node at a dotted key, following interpolations on the way and at its end; nothing if there is none. Throws
  /// ConfigError where a key leads through a scalar.
  std::optional<Target> select(std::string_view key);

  /// A copy with everything below resolved.
  Node resolved(const Target& target);

  /// Keys found to be "???" by resolved().
  const std::vector<std::string>& missing() const { return missing_; }

 private:
  friend class ResolverFunctions;

  Target evaluate(const Expression& expression, const Parents& parents);
  Target node_interpolation(const Expression& expression, const Parents& parents);
  Target resolver_call(const Expression& expression, const Parents& parents);
  std::string join(const std::vector<Expression>& parts, const Parents& parents, bool key);
  Target computed(Node node, const Parents& parents, bool raw) const;
  std::optional<Target> select_in(const Node& start, const Parents& parents, std::string_view key, bool missing_fails);
  std::optional<Target> select_absolute(const Parents& parents, std::string_view key, bool missing_fails);
  Node resolved_child(const Node& child, const Parents& parents, const std::string& path);
  Node resolved_container(const Node& node, const Parents& parents, const std::string& path);

  const Node& root_;
  ResolveOptions options_;
  std::vector<const Node*> active_;     // interpolations being evaluated
  std::vector<const Node*> expanding_;  // containers being copied
  std::vector<std::string> missing_;
  std::size_t copied_ = 0;
};

}  // namespace mneme::config
