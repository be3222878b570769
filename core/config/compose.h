#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/config/node.h"
#include "core/config/override.h"
#include "core/config/resolve.h"

namespace mneme::config {

/// Directories searched in order. mount = "" for a normal config root; mount = "strategy" makes DIR/ewc.yaml the option
/// `ewc` of the group `strategy`.
struct SearchRoot {
  std::filesystem::path directory;
  std::string mount;
};

/// What to compose: a primary file, overrides in Hydra's grammar, and where config groups are looked for behind the
/// primary file's own directory, its sub-directory conf/ and what hydra.searchpath names.
struct Request {
  std::filesystem::path file;
  std::vector<std::string> overrides;
  bool multirun = false;
  std::vector<SearchRoot> search_path;
};

/// A composed configuration. Interpolations are left as text; every node's position says which file or override set it.
struct Composition {
  Node config;
  Node hydra;                                                ///< Hydra's own settings (hydra.run.dir, …)
  std::vector<std::pair<std::string, std::string>> choices;  ///< group (with @package) -> option; "null" for none
  std::vector<std::string> warnings;
};

/// Composes one configuration. Throws ConfigError.
Composition compose(const Request& request);

/// resolve() of a composition, with ${hydra:…} known.
Node resolve(const Composition& composition, ResolveOptions options = {});

class Repository;

/// Composes many configurations of one primary file: parses every file once and shares what does not differ.
class Composer {
 public:
  explicit Composer(const Request& request);
  ~Composer();
  Composer(const Composer&) = delete;
  Composer& operator=(const Composer&) = delete;

  /// \param overrides  parsed overrides, none of them a sweep
  Composition compose(const std::vector<Override>& overrides);

  /// As compose(), with choices that are still ??? left out rather than refused: to look at a sweep's file.
  Composition compose_leniently(const std::vector<Override>& overrides);

  bool is_group(const std::string& key) const;
  std::vector<std::string> group_options(const std::string& group) const;
  const std::string& primary_name() const;

 private:
  struct Base;
  Composition compose(const std::vector<Override>& overrides, bool lenient);
  const Base& base(const std::vector<const Override*>& group_overrides, bool lenient);

  std::unique_ptr<Repository> repository_;
  std::vector<std::pair<std::string, std::unique_ptr<Base>>> bases_;  // by the group overrides' text
};

}  // namespace mneme::config
