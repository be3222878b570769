#pragma once

#include <optional>
#include <string>

#include "core/config/node.h"

namespace mneme::config {

/// How a recorded case fares under one of Mneme's deliberate deviations from Hydra (LANGUAGE.md, D1 to D20).
struct DeviationVerdict {
  std::string name;      ///< "D9"
  std::string expected;  ///< what the deviation asks for
  bool met = false;
};

/// The deviation that a recorded case falls under, and whether Mneme's outcome is what it asks for; nothing if the case
/// must come out as in Hydra.
/// \param kind    of the case: "parse", "compose", …
/// \param ok      whether Mneme took it; then `fields` holds what it made of it, else `error` says why not
std::optional<DeviationVerdict> judge_deviation(const std::string& kind, const Node& record, bool ok,
                                                const Node& fields, const std::string& error);

}  // namespace mneme::config
