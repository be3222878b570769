#pragma once

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/config/defaults_list.h"

namespace mneme::config {

/// An entry of a defaults list at its place in the tree of configs: group paths and packages follow from the parent's.
struct DefaultsBuilder::Entry : DefaultsEntry {
  Entry() = default;
  explicit Entry(const DefaultsEntry& written) : DefaultsEntry(written) {}

  std::string parent_group;
  std::string parent_package;
  std::optional<std::string> package_header;
  bool is_virtual = false;
  bool primary = false;
  bool external = false;  ///< +group=option on the command line
  bool deleted = false;

  static Entry appended(const Override& override);

  /// The entry that one option of a list of options stands for.
  Entry single_option(const std::string& option_name) const;

  void set_parent(const std::string& group, const std::string& parents_package);
  void set_package_header(const std::optional<std::string>& header);

  bool is_self() const { return is_group ? option == "_self_" : name == "_self_"; }
  bool is_missing() const;
  bool is_interpolation() const;

  std::string group_path() const;   ///< "model", with the parents' groups
  std::string config_path() const;  ///< "model/t5"
  /// Where the content goes. \param with_header  heed the file's "# @package" header
  std::string final_package(bool with_header = true) const;
  /// What an override of this choice is called: "model", "optim@train.optim".
  std::string override_key() const;
  /// The entry as a node, for interpolations that look into the defaults list.
  Node described() const;

 private:
  std::string own_path() const;        // name without a leading '/'
  std::string own_group_path() const;  // of own_path
};

}  // namespace mneme::config
