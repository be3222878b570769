#pragma once

#include <string>
#include <vector>

#include "core/config/repository.h"

namespace mneme::cli {

/// The config files that Mneme brings, with the strategies and streams that are installed.
config::Repository installed_configs();

/// Names of a group's options. Files that begin with '_' are parts of others and no options.
std::vector<std::string> group_options(const config::Repository& repository, const std::string& group);

/// The config groups with their options, one line each, for `mneme --help`.
std::string config_groups_help();

}  // namespace mneme::cli
