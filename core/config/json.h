#pragma once

#include <string>
#include <string_view>

#include "core/config/node.h"

namespace mneme::config {

struct JsonOptions {
  int indent = -1;  ///< blanks per level; -1 writes one line
  bool positions =
      false;  ///< wrap the document as {"$value": …, "$positions": …} so that parse_json restores positions
};

/// JSON text that parse_json reads back to an equal node: floats keep a point or exponent, numbers beyond 64 bits all
/// digits; non-finite floats are {"$float": "inf"}, maps with keys other than text {"$dict": [[key, value], …]}.
std::string dump_json(const Node& node, const JsonOptions& options = {});

/// Reads what dump_json wrote and any other JSON text. Throws ConfigError naming `name`. \param name shown in positions
Node parse_json(std::string_view text, const std::string& name);

}  // namespace mneme::config
