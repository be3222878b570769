#include "core/text/bpe.h"

#include <algorithm>
#include <bit>

#include "core/base/error.h"
#include "core/text/byte_characters.h"
#include "core/text/unicode_data.h"

namespace mneme::text {

namespace {
constexpr std::string_view kBlank = "\xE2\x96\x81";  // U+2581

/// Whether a character other than U+2581 is followed by U+2581.
bool has_blank_inside(std::string_view text) {
  for (std::size_t i = text.find(kBlank); i != text.npos; i = text.find(kBlank, i + 1))
    if (i > 0 && !text.substr(0, i).ends_with(kBlank)) return true;
  return false;
}

std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
}

std::size_t slot_of(std::uint64_t pair, std::size_t slots) {
  return static_cast<std::size_t>((pair * 0x9E3779B97F4A7C15u) >> 20) & (slots - 1);
}

/// Heap order: the lowest rank on top, then the leftmost.
bool later(const EncodeScratch::Merge& a, const EncodeScratch::Merge& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
}
}  // namespace

Bpe::Bpe(Vocabulary vocabulary, const MergeRules& merges, BpeOptions options, const std::string& where)
    : vocabulary_(std::move(vocabulary)), options_(std::move(options)) {
  std::int64_t end = 0;
  for (const auto& [token, id] : vocabulary_) end = std::max<std::int64_t>(end, id + std::int64_t{1});
  tokens_.resize(static_cast<std::size_t>(end));
  for (const auto& [token, id] : vocabulary_) {
    std::string_view& place = tokens_[static_cast<std::size_t>(id)];
    if (place.data() != nullptr)
      throw DataError(fmt::format("{}.vocab: '{}' and '{}' have the same id {}", where, place, token, id));
    place = token;
  }
  add_rules(merges, where);
  if (options_.byte_words) {
    for (int b = 0; b < 256; ++b)
      characters_.push_back(id_of(byte_character(static_cast<unsigned char>(b))).value_or(-1));
  } else {
    characters_.assign(0x10000, -1);
    for (const auto& [token, id] : vocabulary_) {
      std::size_t length = 0;
      if (token.empty()) continue;
      const char32_t c = first_code_point(token, length);
      if (length == token.size() && c < characters_.size()) characters_[c] = id;
    }
  }
  byte_ids_.assign(256, -1);
  for (std::size_t b = 0; b < byte_ids_.size(); ++b)
    if (const auto id = id_of(fmt::format("<0x{:02X}>", b))) byte_ids_[b] = *id;
  if (options_.unknown) unknown_id_ = id_of(*options_.unknown).value_or(-1);
  find_safe_cuts(merges);
}

void Bpe::add_rules(const MergeRules& merges, const std::string& where) {
  rules_.assign(std::bit_ceil(merges.size() * 2 + 2), Rule{kNoPair, 0, 0});
  std::uint32_t rank = 0;
  for (const auto& [left, right] : merges) {
    const auto id = [&](const std::string& token) {
      const auto found = id_of(token);
      if (!found) throw DataError(fmt::format("{}.merges[{}]: '{}' is not in the vocabulary", where, rank, token));
      return *found;
    };
    const std::uint64_t pair = pair_key(id(left), id(right));
    std::size_t slot = slot_of(pair, rules_.size());
    while (rules_[slot].pair != kNoPair && rules_[slot].pair != pair) slot = (slot + 1) & (rules_.size() - 1);
    rules_[slot] = {pair, rank++, id(left + right)};  // a later rule of the same pair counts
  }
}

void Bpe::find_safe_cuts(const MergeRules& merges) {
  // Unknown characters that become nothing would let what is around them merge.
  const bool all_become_bytes = options_.byte_fallback && std::all_of(byte_ids_.begin(), byte_ids_.end(),
                                                                      [](std::int32_t id) { return id >= 0; });
  cuts_at_blanks_ = (options_.unknown || all_become_bytes) && !options_.ignore_merges && !options_.byte_words &&
                    vocabulary_.contains(kBlank) && std::none_of(merges.begin(), merges.end(), [](const auto& rule) {
                      return has_blank_inside(rule.first + rule.second);
                    });
}

std::size_t Bpe::first_part(std::string_view word) const {
  if (!cuts_at_blanks_) return word.size();
  std::size_t i = 0;
  while (word.substr(i).starts_with(kBlank)) i += kBlank.size();
  return std::min(word.find(kBlank, i), word.size());
}

std::optional<std::int32_t> Bpe::id_of(std::string_view token) const {
  const auto found = vocabulary_.find(token);
  return found == vocabulary_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<std::string_view> Bpe::token_of(std::int32_t id) const {
  if (id < 0 || id >= id_end() || tokens_[static_cast<std::size_t>(id)].data() == nullptr) return std::nullopt;
  return tokens_[static_cast<std::size_t>(id)];
}

const Bpe::Rule* Bpe::rule(std::int32_t left, std::int32_t right) const {
  const std::uint64_t pair = pair_key(left, right);
  for (std::size_t slot = slot_of(pair, rules_.size()); rules_[slot].pair != kNoPair;
       slot = (slot + 1) & (rules_.size() - 1))
    if (rules_[slot].pair == pair) return &rules_[slot];
  return nullptr;
}

/// The character at a place of the word, as the vocabulary writes it; its bytes in the word and its id, -1 for none.
std::string_view Bpe::character_at(std::string_view word, std::size_t at, std::size_t& length, std::int32_t& id) const {
  if (options_.byte_words) {
    const auto byte = static_cast<unsigned char>(word[at]);
    length = 1;
    id = characters_[byte];
    return byte_character(byte);
  }
  const char32_t c = first_code_point(word.substr(at), length);
  const std::string_view character = word.substr(at, length);
  id = c < characters_.size() ? characters_[c] : id_of(character).value_or(-1);
  return character;
}

void Bpe::add_fallback(std::string_view character, std::vector<EncodeScratch::Symbol>& symbols,
                       bool& unknown_waits) const {
  const auto byte_id = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
  if (options_.byte_fallback &&
      std::all_of(character.begin(), character.end(), [&](char c) { return byte_id(c) >= 0; })) {
    for (const char c : character) symbols.push_back({byte_id(c), 0, 0, false});
    return;
  }
  if (!options_.unknown) return;
  if (unknown_id_ < 0)
    throw DataError(fmt::format("'{}' is not in the tokenizer's vocabulary, nor is its token for unknown text, '{}'",
                                character, *options_.unknown));
  if (unknown_waits && !options_.fuse_unknown) symbols.push_back({unknown_id_, 0, 0, false});
  unknown_waits = true;
}

void Bpe::add_symbols(std::string_view word, std::vector<EncodeScratch::Symbol>& symbols) const {
  bool unknown_waits = false;  // an unknown token is added when the next known character comes
  for (std::size_t i = 0, length = 0; i < word.size(); i += length) {
    std::int32_t id = -1;
    const std::string_view character = character_at(word, i, length, id);
    if (id < 0) {
      add_fallback(character, symbols, unknown_waits);
      continue;
    }
    if (unknown_waits) symbols.push_back({unknown_id_, 0, 0, false});
    unknown_waits = false;
    symbols.push_back({id, 0, 0, false});
  }
  if (unknown_waits) symbols.push_back({unknown_id_, 0, 0, false});
  const auto count = static_cast<std::int32_t>(symbols.size());
  for (std::int32_t i = 0; i < count; ++i) {
    symbols[static_cast<std::size_t>(i)].previous = i - 1;
    symbols[static_cast<std::size_t>(i)].next = i + 1 < count ? i + 1 : -1;
  }
}

void Bpe::queue_pair(EncodeScratch& scratch, std::int32_t position) const {
  const auto& symbol = scratch.symbols[static_cast<std::size_t>(position)];
  const std::int32_t right = scratch.symbols[static_cast<std::size_t>(symbol.next)].id;
  const Rule* found = rule(symbol.id, right);
  if (found == nullptr) return;
  scratch.queue.push_back({found->rank, static_cast<std::uint32_t>(position), symbol.id, right, found->id});
}

void Bpe::merge(EncodeScratch& scratch) const {
  auto& symbols = scratch.symbols;
  auto& queue = scratch.queue;
  queue.clear();
  for (std::size_t i = 0; i + 1 < symbols.size(); ++i) queue_pair(scratch, static_cast<std::int32_t>(i));
  std::make_heap(queue.begin(), queue.end(), later);
  const auto add = [&](std::int32_t position) {
    const std::size_t before = queue.size();
    queue_pair(scratch, position);
    if (queue.size() > before) std::push_heap(queue.begin(), queue.end(), later);
  };
  while (!queue.empty()) {
    std::pop_heap(queue.begin(), queue.end(), later);
    const EncodeScratch::Merge top = queue.back();
    queue.pop_back();
    auto& left = symbols[top.position];
    if (left.merged || left.next < 0) continue;
    auto& right = symbols[static_cast<std::size_t>(left.next)];
    if (left.id != top.left || right.id != top.right) {  // changed since: it counts only if it becomes the same token
      const Rule* now = rule(left.id, right.id);
      if (now == nullptr || now->id != top.id) continue;
    }
    left.id = top.id;
    left.next = right.next;
    right.merged = true;
    if (right.next >= 0)
      symbols[static_cast<std::size_t>(right.next)].previous = static_cast<std::int32_t>(top.position);
    if (left.previous >= 0) add(left.previous);
    if (left.next >= 0) add(static_cast<std::int32_t>(top.position));
  }
}

void Bpe::encode(std::string_view word, EncodeScratch& scratch, TokenIds& ids) const {
  if (options_.ignore_merges) {
    if (const auto whole = options_.byte_words ? id_of(to_byte_characters(word)) : id_of(word)) {
      ids.push_back(*whole);
      return;
    }
  }
  scratch.symbols.clear();
  add_symbols(word, scratch.symbols);
  merge(scratch);
  for (const auto& symbol : scratch.symbols)
    if (!symbol.merged) ids.push_back(symbol.id);
}

}  // namespace mneme::text
