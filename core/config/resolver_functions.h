#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/config/resolve.h"

namespace mneme::config {

/// The functions behind ${name:arguments}: oc.env, oc.decode, oc.select, oc.create, oc.dict.keys, oc.dict.values,
/// oc.deprecated, now and hydra.
class ResolverFunctions {
 public:
  using Target = Resolver::Target;

  /// \param parents  the containers above the interpolation, the root first
  ResolverFunctions(Resolver& resolver, const Resolver::Parents& parents) : resolver_(resolver), parents_(parents) {}

  /// Throws ConfigError for an unknown name (with the nearest known one) and for arguments that the function refuses.
  Target call(const std::string& name, const std::vector<Target>& arguments);

 private:
  Target env(const std::vector<Target>& arguments);
  Target decode(const std::vector<Target>& arguments);
  Target select(const std::vector<Target>& arguments);
  Target create(const std::vector<Target>& arguments);
  Target deprecated(const std::vector<Target>& arguments);
  Target dict_keys(const std::vector<Target>& arguments);
  Target dict_values(const std::vector<Target>& arguments);
  Target now(const std::vector<Target>& arguments);
  Target hydra(const std::vector<Target>& arguments);

  const std::string& text(std::string_view name, const std::vector<Target>& arguments, std::size_t index) const;
  const Target map_at(std::string_view name, const std::string& key);
  Target computed(Node node, bool raw = true) { return resolver_.computed(std::move(node), parents_, raw); }

  Resolver& resolver_;
  const Resolver::Parents& parents_;
};

}  // namespace mneme::config
