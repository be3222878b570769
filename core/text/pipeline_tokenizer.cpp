#include "core/text/pipeline_tokenizer.h"

#include <algorithm>
#include <array>

#include "core/base/error.h"
#include "core/base/unicode.h"
#include "core/text/unicode_data.h"

namespace mneme::text {

/// What a thread needs while it encodes; words that it has seen before are looked up.
struct PipelineTokenizer::Workspace {
  WordCache cache;
  EncodeScratch scratch;
};

namespace {
void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t i = text.find(from); i != std::string::npos; i = text.find(from, i + to.size()))
    text.replace(i, from.size(), to);
}

void tidy_blanks(std::string& text) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 10> kRules{{{" .", "."},
                                                                                         {" ?", "?"},
                                                                                         {" !", "!"},
                                                                                         {" ,", ","},
                                                                                         {" ' ", "'"},
                                                                                         {" n't", "n't"},
                                                                                         {" 'm", "'m"},
                                                                                         {" 's", "'s"},
                                                                                         {" 've", "'ve"},
                                                                                         {" 're", "'re"}}};
  for (const auto& [from, to] : kRules) replace_all(text, from, to);
}
}  // namespace

PipelineTokenizer::PipelineTokenizer(Pipeline pipeline) : parts_(std::move(pipeline)) {}
PipelineTokenizer::~PipelineTokenizer() = default;

std::unique_ptr<PipelineTokenizer::Workspace> PipelineTokenizer::borrow() const {
  const std::lock_guard lock(mutex_);
  if (idle_.empty()) return std::make_unique<Workspace>();
  auto workspace = std::move(idle_.back());
  idle_.pop_back();
  return workspace;
}

void PipelineTokenizer::give_back(std::unique_ptr<Workspace> workspace) const {
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(workspace));
}

TokenIds PipelineTokenizer::encode(std::string_view utf8) const { return encode(utf8, false); }
TokenIds PipelineTokenizer::encode_continuation(std::string_view utf8) const { return encode(utf8, true); }

TokenIds PipelineTokenizer::encode(std::string_view utf8, bool continues) const {
  if (const auto bad = find_invalid_utf8(utf8))
    throw DataError(fmt::format("text to tokenize: byte {} (0x{:02X}) is not part of valid UTF-8", *bad,
                                static_cast<unsigned char>(utf8[*bad])));
  auto workspace = borrow();
  TokenIds ids;
  ids.reserve(utf8.size() / 3 + 4);
  for (const AddedTokens::Part& part : parts_.added.find(utf8, false)) {
    if (part.id != nullptr) {
      ids.push_back(*part.id);
      continue;
    }
    std::size_t front = 0;  // the length of the first character
    if (part.begin == 0) first_code_point(utf8, front);
    encode_stretch({std::string(utf8.substr(part.begin, part.end - part.begin)), front, front > 0 && continues},
                   *workspace, ids);
  }
  give_back(std::move(workspace));
  return ids;
}

void PipelineTokenizer::encode_stretch(Stretch stretch, Workspace& workspace, TokenIds& ids) const {
  if (parts_.normalizer != nullptr) parts_.normalizer->apply(stretch);
  const std::string_view text = stretch.text;
  if (!parts_.added.looks_in_normalized()) {
    if (!text.empty()) encode_words({text, stretch.front, stretch.continues}, workspace, ids);
    return;
  }
  for (const AddedTokens::Part& part : parts_.added.find(text, true)) {
    if (part.id != nullptr) {
      ids.push_back(*part.id);
      continue;
    }
    encode_words({text.substr(part.begin, part.end - part.begin), stretch.front - std::min(stretch.front, part.begin),
                  part.begin == 0 && stretch.continues},
                 workspace, ids);
  }
}

void PipelineTokenizer::encode_words(const Piece& text, Workspace& workspace, TokenIds& ids) const {
  TextStore store;
  Pieces pieces{text};
  if (parts_.pre_tokenizer != nullptr) parts_.pre_tokenizer->split(pieces, store);
  for (const Piece& piece : pieces) {
    for (std::string_view rest = piece.text; !rest.empty();) {
      const std::size_t size = parts_.model->first_part(rest);
      encode_word(rest.substr(0, size), workspace, ids);
      rest.remove_prefix(size);
    }
  }
}

void PipelineTokenizer::encode_word(std::string_view word, Workspace& workspace, TokenIds& ids) const {
  if (word.size() > WordCache::kLongest) return parts_.model->encode(word, workspace.scratch, ids);
  const std::uint64_t hash = WordCache::hash(word);
  if (const auto known = workspace.cache.find(word, hash)) {
    ids.insert(ids.end(), known->begin(), known->end());
    return;
  }
  const std::size_t before = ids.size();
  parts_.model->encode(word, workspace.scratch, ids);
  workspace.cache.insert(word, hash, std::span(ids).subspan(before));
}

TokenIds PipelineTokenizer::with_special(TokenIds ids) const {
  ids.insert(ids.begin(), parts_.special.before.begin(), parts_.special.before.end());
  ids.insert(ids.end(), parts_.special.after.begin(), parts_.special.after.end());
  return ids;
}

std::string PipelineTokenizer::decode(std::span<const std::int32_t> ids, SpecialTokens special) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (const std::int32_t id : ids) {
    auto token = parts_.added.text_of(id);
    if (!token) token = parts_.model->token_of(id);
    if (!token && (id < 0 || id >= std::max<std::int64_t>(kMostTokens, vocab_size())))
      throw DataError(fmt::format("token id {} is outside any vocabulary", id));
    if (!token || (special == SpecialTokens::kSkip && parts_.added.is_special(*token))) continue;
    tokens.emplace_back(*token);
  }
  std::string text;
  if (parts_.decoder != nullptr) {
    if (!tokens.empty()) parts_.decoder->apply(tokens);
    for (const std::string& token : tokens) text += token;
  } else {
    for (std::size_t i = 0; i < tokens.size(); ++i) text += (i == 0 ? "" : " ") + tokens[i];
  }
  if (parts_.tidies_blanks) tidy_blanks(text);
  return text;
}

std::optional<std::string> PipelineTokenizer::token(std::int32_t id) const {
  auto token = parts_.added.content_of(id);
  if (!token) token = parts_.model->token_of(id);
  return token ? std::optional<std::string>(*token) : std::nullopt;
}

std::string PipelineTokenizer::bytes_of(std::int32_t id) const {
  if (const auto added = parts_.added.content_of(id)) return std::string(*added);
  const auto token = parts_.model->token_of(id);
  if (!token) return "";
  std::string bytes;
  if (parts_.decoder != nullptr && parts_.decoder->bytes_of(*token, bytes)) return bytes;
  return std::string(*token);
}

std::int32_t PipelineTokenizer::vocab_size() const {
  return static_cast<std::int32_t>(std::max(parts_.model->id_end(), parts_.added.id_end()));
}

std::int32_t PipelineTokenizer::text_vocab_size() const { return static_cast<std::int32_t>(parts_.model->id_end()); }

}  // namespace mneme::text
