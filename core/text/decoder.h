#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/text/json_fields.h"

namespace mneme::text {

/// Makes a text of tokens, as the decoders of a tokenizer.json do.
class Decoder {
 public:
  virtual ~Decoder();
  /// Changes, joins or splits the tokens; the text is what they are end to end.
  virtual void apply(std::vector<std::string>& tokens) const = 0;
  /// Adds to the bytes that one token stands for what this step knows of it; false if that is nothing.
  virtual bool bytes_of(std::string_view token, std::string& bytes) const;
};

/// Reads the field "decoder"; null pointer if there is none. Throws DataError naming what is not supported.
std::unique_ptr<Decoder> make_decoder(const Json* value, const std::string& where);

}  // namespace mneme::text
