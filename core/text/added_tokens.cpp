#include "core/text/added_tokens.h"

#include <algorithm>

#include "core/base/unicode.h"
#include "core/text/unicode_data.h"

namespace mneme::text {

namespace {
/// Where the last character of a non-empty text starts.
std::size_t last_character(std::string_view text) {
  std::size_t i = text.size() - 1;
  while (i > 0 && is_continuation(text[i])) --i;
  return i;
}

bool ends_with_word(std::string_view text) {
  std::size_t length = 0;
  return !text.empty() && is_word(first_code_point(text.substr(last_character(text)), length));
}

bool starts_with_word(std::string_view text) {
  std::size_t length = 0;
  return !text.empty() && is_word(first_code_point(text, length));
}

/// Where the white space at the end of the text starts.
std::size_t trailing_space(std::string_view text) {
  std::size_t length = 0;
  while (!text.empty()) {
    const std::size_t last = last_character(text);
    if (!is_white_space(first_code_point(text.substr(last), length))) break;
    text = text.substr(0, last);
  }
  return text.size();
}

/// Length of the white space at the start of the text.
std::size_t leading_space(std::string_view text) {
  std::size_t end = 0, length = 0;
  while (end < text.size() && is_white_space(first_code_point(text.substr(end), length))) end += length;
  return end;
}
}  // namespace

void AddedTokens::add(const AddedToken& token, const SubwordModel& model) {
  if (token.content.empty()) return;
  const auto known = id_of(token.content);
  std::int32_t id = 0;
  if (known) {
    id = *known;
  } else if (const auto own = model.id_of(token.content)) {
    id = *own;
  } else {
    id = static_cast<std::int32_t>(std::max(id_end(), model.size()));
  }
  ids_[token.content] = id;
  if (token.special) special_[token.content] = true;
  by_id_[id] = token;
}

AddedTokens::Matcher AddedTokens::matcher_of(std::vector<std::pair<std::string, std::int32_t>> texts) {
  std::sort(texts.begin(), texts.end());
  texts.erase(std::unique(texts.begin(), texts.end(), [](const auto& a, const auto& b) { return a.first == b.first; }),
              texts.end());
  Matcher made;
  if (texts.empty()) return made;
  if (texts[0].first.empty()) {
    made.empty = texts[0].second;
    texts.erase(texts.begin());
  }
  for (const auto& [text, id] : texts) made.starts[static_cast<unsigned char>(text[0])] = true;
  made.trie = std::make_unique<PrefixTrie>(texts);
  return made;
}

std::pair<std::size_t, std::int32_t> AddedTokens::Matcher::at(std::string_view text, std::size_t place) const {
  std::pair<std::size_t, std::int32_t> longest{0, empty};
  if (place < text.size() && starts[static_cast<unsigned char>(text[place])])
    trie->prefixes(text.substr(place), [&](std::size_t size, std::int32_t id) { longest = {size, id}; });
  return longest;
}

void AddedTokens::finish(const Normalizer* normalizer) {
  std::vector<std::pair<std::string, std::int32_t>> raw, normalized;
  for (const auto& [id, token] : by_id_) {
    if (!token.normalized) {
      raw.emplace_back(token.content, id);
      continue;
    }
    Stretch stretch{token.content};
    if (normalizer != nullptr) normalizer->apply(stretch);
    if (stretch.text != token.content) normalized_text_[id] = stretch.text;
    normalized.emplace_back(stretch.text, id);
  }
  raw_ = matcher_of(std::move(raw));
  normalized_ = matcher_of(std::move(normalized));
}

std::vector<AddedTokens::Part> AddedTokens::find(std::string_view text, bool normalized) const {
  const Matcher& matcher = normalized ? normalized_ : raw_;
  std::vector<Part> parts;
  std::size_t done = 0, matched = std::string_view::npos;
  for (std::size_t at = 0; matcher.trie != nullptr && at <= text.size();) {
    const auto [length, id] = matcher.at(text, at);
    std::size_t begin = at, end = at + length;
    at = length > 0 ? end : at + 1;
    if (length > 0) matched = end;
    // The empty token is between any two characters, but not right behind another token.
    if (id < 0 || (length == 0 && (begin == matched || (begin < text.size() && is_continuation(text[begin])))))
      continue;
    const auto entry = by_id_.find(id);
    const AddedToken& token = entry->second;
    if (token.single_word && (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(end)))) continue;
    if (token.lstrip) begin = std::max(trailing_space(text.substr(0, begin)), done);
    if (token.rstrip) end += leading_space(text.substr(end));
    if (done < begin) parts.push_back({done, begin, nullptr});
    if (begin < end) parts.push_back({begin, end, &entry->first});  // another may have taken its blanks
    done = end;
  }
  if (done < text.size()) parts.push_back({done, text.size(), nullptr});
  return parts;
}

std::optional<std::int32_t> AddedTokens::id_of(std::string_view content) const {
  const auto found = ids_.find(content);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<std::string_view> AddedTokens::content_of(std::int32_t id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? std::nullopt : std::optional<std::string_view>(found->second.content);
}

std::optional<std::string_view> AddedTokens::text_of(std::int32_t id) const {
  const auto found = normalized_text_.find(id);
  return found == normalized_text_.end() ? content_of(id) : std::optional<std::string_view>(found->second);
}

bool AddedTokens::is_special(std::string_view content) const { return special_.contains(content); }

}  // namespace mneme::text
