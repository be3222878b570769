#pragma once

#include <nlohmann/json.hpp>

#include "core/base/file.h"

namespace mneme::test {

/// What torch and transformers did; tests/parity/train/record_train.py says how it was recorded.
inline nlohmann::json recorded() {
  return nlohmann::json::parse(read_file(std::string(MNEME_SOURCE_DIR) + "/tests/parity/train/train.json"));
}

}  // namespace mneme::test
