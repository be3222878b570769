#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/random.h"
#include "core/data/pretrain_text.h"
#include "core/data/sequence_form.h"
#include "core/strategy/sample.h"
#include "core/text/tokenizer.h"

namespace mneme::run {

/// Where pretraining documents come from.
struct DocumentOptions {
  std::string kind = "generated";  ///< generated: the made-up language of core/data/pretrain_text; files: see below
  std::uint64_t seed = 1;          ///< of the generated text and of the order of files' documents
  /// kind files: plain text (each paragraph a document) or, ending in .json, rows of prompt and answer.
  std::vector<std::filesystem::path> files;
  bool answers = true;  ///< whether rows are read with their answers, or their prompts alone
};

/// Endless documents, each a prompt (empty for plain text) and the text that follows it.
class Documents {
 public:
  /// Reads the files. Throws DataError for a row without prompt and answer, Error if there is no document.
  explicit Documents(const DocumentOptions& options);

  std::pair<std::string, std::string> next();

  /// Documents of the files, after which they come again; none for generated text, which never ends.
  std::optional<std::size_t> count() const;

 private:
  void read(const std::filesystem::path& file, bool answers);

  RandomStream order_;
  data::PretrainText generator_;
  std::vector<std::pair<std::string, std::string>> rows_;
  std::size_t next_ = 0;
};

/// Documents as training sequences. A decoder reads prompt and text on end; an encoder-decoder reads the prompt and
/// writes the text, and of plain text reads a first part and writes the rest.
class DocumentForm {
 public:
  /// \param seed of the places where plain text is parted
  DocumentForm(const text::Tokenizer& tokenizer, bool encoder_decoder, std::int64_t max_length, std::uint64_t seed);

  /// `first_label` is where what follows the prompt starts. Each part of an encoder-decoder's has at most `max_length`
  /// tokens, else the whole.
  SamplePtr sample(const std::pair<std::string, std::string>& document);

 private:
  const text::Tokenizer& tokenizer_;
  data::SequenceForm form_;
  bool encoder_decoder_;
  std::size_t max_length_;
  RandomStream parting_;
};

}  // namespace mneme::run
