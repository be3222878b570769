#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace mneme::data {

/// One generated document: the text is prompt + answer, and the answer is what a reader of the prompt can know.
struct PretrainDocument {
  std::string prompt;  ///< may be empty (plain text)
  std::string answer;
};

/// An endless stream of documents for the pretraining of a small base model: a made-up language, and the meanings of
/// the words that mini8 uses.
class PretrainText {
 public:
  explicit PretrainText(std::uint64_t seed);
  ~PretrainText();
  PretrainText(PretrainText&&) noexcept;
  PretrainText& operator=(PretrainText&&) noexcept;

  PretrainDocument next();

 private:
  class Writer;
  std::unique_ptr<Writer> writer_;
};

}  // namespace mneme::data
