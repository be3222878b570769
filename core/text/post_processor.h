#pragma once

#include <string>

#include "core/text/json_fields.h"
#include "core/text/tokenizer.h"

namespace mneme::text {

/// The special tokens around a text.
struct Surroundings {
  TokenIds before, after;
};

/// Reads the field "post_processor" of a tokenizer.json, as it is for one text. Throws DataError naming what is not
/// supported.
Surroundings make_surroundings(const Json* value, const std::string& where);

}  // namespace mneme::text
