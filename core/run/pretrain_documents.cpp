#include "core/run/pretrain_documents.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/data/file_source.h"

namespace mneme::run {

namespace {
void cut(text::TokenIds& ids, std::size_t most) {
  if (ids.size() > most) ids.resize(most);
}
}  // namespace

Documents::Documents(const DocumentOptions& options)
    : order_(options.seed, "pretrain/order"), generator_(options.seed) {
  if (options.kind == "generated") return;
  for (const auto& file : options.files) read(file, options.answers);
  next_ = rows_.size();
  MNEME_CHECK(!rows_.empty(), "text.files: the {} file(s) hold no document", options.files.size());
}

std::pair<std::string, std::string> Documents::next() {
  if (rows_.empty()) {
    auto document = generator_.next();
    return {std::move(document.prompt), std::move(document.answer)};
  }
  if (next_ == rows_.size()) order_.shuffle(rows_), next_ = 0;
  return rows_[next_++];
}

std::optional<std::size_t> Documents::count() const {
  return rows_.empty() ? std::nullopt : std::optional(rows_.size());
}

void Documents::read(const std::filesystem::path& file, bool answers) {
  if (file.extension() == ".json") {
    for (data::Example& row : data::read_rows(file)) {
      if (answers)
        rows_.emplace_back(std::move(row.prompt), std::move(row.answer));
      else
        rows_.emplace_back("", std::move(row.prompt));  // a text like any other
    }
    return;
  }
  const std::string text = read_file(file);
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = std::min(text.find("\n\n", start), text.size());
    if (end > start) rows_.emplace_back("", text.substr(start, end - start));
    start = end + 2;
  }
}

DocumentForm::DocumentForm(const text::Tokenizer& tokenizer, bool encoder_decoder, std::int64_t max_length,
                           std::uint64_t seed)
    : tokenizer_(tokenizer),
      form_(tokenizer, encoder_decoder, tokenizer.vocab_size()),
      encoder_decoder_(encoder_decoder),
      max_length_(static_cast<std::size_t>(max_length)),
      parting_(seed, "pretrain/parting") {}

SamplePtr DocumentForm::sample(const std::pair<std::string, std::string>& document) {
  const auto& [prompt, text] = document;
  text::TokenIds head, rest;
  if (prompt.empty()) {
    rest = tokenizer_.encode(text);
  } else {
    head = tokenizer_.encode(prompt);
    rest = encoder_decoder_ ? tokenizer_.encode(text) : tokenizer_.encode_continuation(text);
  }
  if (encoder_decoder_ && head.empty()) {
    const auto middle = rest.begin() + static_cast<std::ptrdiff_t>(parting_.below(rest.size() + 1));
    head.assign(rest.begin(), middle);
    rest.erase(rest.begin(), middle);
  }
  Sample made{.tokens = form_.prompt(head)};
  rest = form_.answer(rest);
  if (encoder_decoder_) {
    cut(made.tokens, max_length_);
    cut(rest, max_length_);
  }
  made.first_label = static_cast<std::int64_t>(made.tokens.size());
  made.tokens.insert(made.tokens.end(), rest.begin(), rest.end());
  if (!encoder_decoder_) cut(made.tokens, max_length_);
  made.first_label = std::min(made.first_label, static_cast<std::int64_t>(made.tokens.size()));
  return std::make_shared<const Sample>(std::move(made));
}

}  // namespace mneme::run
