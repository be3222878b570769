#pragma once

#include <string_view>

#include "core/config/node.h"

namespace mneme::config {

/// What a plain (unquoted) YAML 1.1 scalar stands for.
enum class ScalarType { kNull, kBool, kInt, kFloat, kMerge, kDefaultValue, kTimestamp, kString };

/// The type that the loader gives a plain scalar: YAML 1.1 with OmegaConf's floats (1e3 is a number) and dates as text.
ScalarType loaded_type(std::string_view text);

/// The type that plain PyYAML gives it, which decides what the dumper has to quote.
ScalarType dumped_type(std::string_view text);

/// The value of a scalar of a type. Throws ConfigError for texts that the type's syntax takes but that hold no value,
/// such as 0x_; \param where the start of the message
Node scalar_value(ScalarType type, std::string_view text, std::string_view where);

/// Whether a whole number is written in a form that YAML 1.1 reads in base 8 or 60 (010, 12:30), which few expect.
bool is_surprising_int(std::string_view text);

}  // namespace mneme::config
