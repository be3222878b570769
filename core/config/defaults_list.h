#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/config/override.h"
#include "core/config/repository.h"

namespace mneme::config {

/// One config of the final list, to be merged in order.
struct ResolvedDefault {
  std::string path;     ///< "model/t5"
  std::string package;  ///< where its content goes; "" is the root
  bool primary = false;
};

struct DefaultsResult {
  std::vector<ResolvedDefault> list;
  std::vector<std::pair<std::string, std::optional<std::string>>> choices;  ///< group (with @package) -> option
  std::vector<std::string> warnings;
};

/// Works out which configs a primary file and the overrides of config groups ask for, depth first.
class DefaultsBuilder {
 public:
  /// \param allow_missing  leave out groups whose option is still ??? rather than refuse them
  DefaultsBuilder(Repository& repository, bool allow_missing)
      : repository_(repository), allow_missing_(allow_missing) {}
  ~DefaultsBuilder();

  /// \param overrides  those that name config groups
  DefaultsResult build(const std::vector<const Override*>& overrides);

 private:
  struct Entry;
  struct Tree;
  struct Choice {
    std::string key;
    std::optional<std::string> option;
    std::vector<std::string> options;
    bool has_options = false;
    const Override* external = nullptr;  // from the command line
    std::string file;                    // that held the entry `override`
    Position position;
    bool used = false;
  };
  struct Deletion {
    std::string key;
    bool any = true;  // whatever the option is
    std::optional<std::string> option;
    const Override* source = nullptr;
    bool used = false;
  };

  void read_overrides(const std::vector<const Override*>& overrides);
  void expand(Tree& tree, bool is_root, bool interpolated, int depth);
  std::vector<std::unique_ptr<Tree>> entries_of(Tree& tree, const ConfigFile& file, bool is_root);
  void check_self(const Entry& parent, std::vector<std::unique_ptr<Tree>>& entries, const ConfigFile& file,
                  bool& added);
  void collect_overrides(const Entry& parent, std::vector<std::unique_ptr<Tree>>& entries, bool interpolated);
  void expand_child(Tree& parent, std::unique_ptr<Tree> child, std::vector<std::unique_ptr<Tree>>& children,
                    bool interpolated, int depth);
  void resolve_interpolation(Entry& entry, const std::vector<std::unique_ptr<Tree>>& entries, bool self_added);
  bool stop_at(Entry& entry, Tree& tree, const ConfigFile*& file);
  void note_choice(const Entry& entry);
  [[noreturn]] void fail_missing_option(const Entry& entry) const;
  [[noreturn]] void fail_not_found(const Tree& tree) const;
  void check_all_used() const;
  void collect(const Tree& tree, const Tree* parent, std::set<std::string>& seen,
               std::vector<ResolvedDefault>& list) const;
  void list_choices(const Tree& tree, std::vector<std::pair<std::string, std::optional<std::string>>>& list) const;
  Choice* find_choice(const std::string& key);
  Deletion* find_deletion(const Entry& entry);

  Repository& repository_;
  bool allow_missing_;
  std::vector<Choice> overridden_;
  std::vector<Deletion> deletions_;
  std::vector<const Override*> appended_;
  std::vector<std::pair<std::string, std::optional<std::string>>> choices_;
  std::map<std::string, Position> chosen_at_;
  std::map<std::string, std::set<std::string>> keys_of_group_;
  std::vector<std::string> warnings_;
};

}  // namespace mneme::config
