#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/text/json_fields.h"

namespace mneme::text {

/// A stretch of a text on its way through the pipeline.
struct Stretch {
  std::string text;
  std::size_t front = 0;   ///< bytes at its start that are made from the first character of the whole text
  bool continues = false;  ///< goes on where another text ends: what puts a blank in front of a text must not
};

/// Changes a text before it is split into words, as the normalizers of a tokenizer.json do.
class Normalizer {
 public:
  virtual ~Normalizer();
  /// Valid UTF-8 in, valid UTF-8 out.
  virtual void apply(Stretch& stretch) const = 0;
};

/// Reads the field "normalizer"; null pointer if there is none. Throws DataError naming what is not supported.
std::unique_ptr<Normalizer> make_normalizer(const Json* value, const std::string& where);

/// The compiled character map of SentencePiece, its bytes as the file has them. Throws DataError for a damaged one.
std::unique_ptr<Normalizer> make_character_map(std::string_view bytes, const std::string& where);

}  // namespace mneme::text
