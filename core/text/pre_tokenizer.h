#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/text/json_fields.h"

namespace mneme::text {

/// A part of a text that is split further or, in the end, a word for the model.
struct Piece {
  std::string_view text;   ///< never empty
  std::size_t front = 0;   ///< bytes at its start that are made from the first character of the whole text
  bool continues = false;  ///< starts where the text does, and that one goes on where another ends
};
using Pieces = std::vector<Piece>;

/// Keeps texts that pieces look at.
class TextStore {
 public:
  std::string_view keep(std::string text) { return texts_.emplace_back(std::move(text)); }

 private:
  std::deque<std::string> texts_;
};

/// Splits a text into words, as the pre-tokenizers of a tokenizer.json do.
class PreTokenizer {
 public:
  virtual ~PreTokenizer();
  virtual void split(Pieces& pieces, TextStore& store) const = 0;
  /// The words are left as bytes: the model's vocabulary has them in byte characters.
  virtual bool leaves_bytes() const { return false; }
};

/// Reads the field "pre_tokenizer"; null pointer if there is none. \param may_leave_bytes the model can take bytes.
/// Throws DataError naming what is not supported.
std::unique_ptr<PreTokenizer> make_pre_tokenizer(const Json* value, const std::string& where, bool may_leave_bytes);

}  // namespace mneme::text
