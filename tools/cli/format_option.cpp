#include "tools/cli/format_option.h"

#include <fmt/format.h>

#include "core/base/error.h"

namespace mneme::cli {

bool take_json_format(Arguments& arguments) {
  bool json = false;
  for (std::size_t i = 0; i < arguments.size();) {
    std::string value;
    std::size_t used = 1;
    if (arguments[i].starts_with("--format=")) {
      value = arguments[i].substr(9);
    } else if (arguments[i] == "--format") {
      if (i + 1 >= arguments.size()) throw UsageError("--format needs a value: text or json");
      value = arguments[i + 1];
      used = 2;
    } else {
      ++i;
      continue;
    }
    if (value != "text" && value != "json") throw UsageError(fmt::format("--format {}: expected text or json", value));
    json = value == "json";
    arguments.erase(arguments.begin() + static_cast<std::ptrdiff_t>(i),
                    arguments.begin() + static_cast<std::ptrdiff_t>(i + used));
  }
  return json;
}

}  // namespace mneme::cli
