#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/config/node.h"

namespace mneme::config {

/// Reads one YAML document as Hydra's loader does: YAML 1.1 scalars with OmegaConf's floats, merge keys, duplicate keys
/// refused. Every node carries file_name:line:column. An empty text gives a null node.
/// \param warnings  if not null, receives notes on values that YAML 1.1 reads in a surprising way (012, 12:30)
/// Throws ConfigError with file_name:line:column.
Node parse_yaml(std::string_view text, const std::string& file_name, std::vector<std::string>* warnings = nullptr);

/// YAML text, byte for byte as OmegaConf.to_yaml writes it; ends with a line feed.
std::string dump_yaml(const Node& node);

}  // namespace mneme::config
