#include <bit>
#include <cstring>
#include <optional>
#include <vector>

#include "core/base/error.h"
#include "core/base/unicode.h"
#include "core/text/front_walk.h"
#include "core/text/normalizer.h"
#include "core/text/token_pattern.h"
#include "core/text/unicode_data.h"

namespace mneme::text {

namespace {
/// Whether two such characters next to each other are always two graphemes: no marks, joiners, jamo, prepended or
/// pictographic characters, line ends or flags. Only common ones; what is not listed takes the slow way.
bool stands_alone(char32_t c) {
  if (c < 0x80) return c != '\r' && c != '\n';
  return (c >= 0xC0 && c <= 0x2FF) || (c >= 0x400 && c <= 0x482) || (c >= 0x2010 && c <= 0x2027) ||
         (c >= 0x3001 && c <= 0x3029) || (c >= 0x3041 && c <= 0x3096) || (c >= 0x30A1 && c <= 0x30FA) ||
         (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0xFF01 && c <= 0xFF9D);
}

/// A double array (as the library darts-clone lays it out) that maps strings to positions in a text of replacements.
/// Longer graphemes are looked up character by character, shorter ones whole; the shortest entry that is a prefix
/// counts, even for a longer grapheme: so does Hugging Face's normalizer.
class CharacterMap final : public Normalizer {
 public:
  CharacterMap(std::string_view bytes, std::string where)
      : where_(std::move(where)), grapheme_(TokenPattern::graphemes()) {
    static_assert(std::endian::native == std::endian::little, "the format is little-endian");
    std::uint32_t trie_bytes = 0;
    if (bytes.size() >= sizeof trie_bytes) std::memcpy(&trie_bytes, bytes.data(), sizeof trie_bytes);
    if (trie_bytes == 0 || trie_bytes % 4 != 0 || trie_bytes > bytes.size() - sizeof trie_bytes)
      throw DataError(fmt::format("{}: the character map of {} bytes says that its trie has {} bytes: it is damaged",
                                  where_, bytes.size(), trie_bytes));
    units_.resize(trie_bytes / 4);
    std::memcpy(units_.data(), bytes.data() + sizeof trie_bytes, trie_bytes);
    replacements_ = bytes.substr(sizeof trie_bytes + trie_bytes);
    if (const auto bad = find_invalid_utf8(replacements_))
      throw DataError(fmt::format("{}: the character map's replacements are no UTF-8 at byte {}", where_, *bad));
    for (std::size_t c = 1; c < 0x80; ++c) {
      const char character = static_cast<char>(c);
      plain_[c] = !find({&character, 1});
    }
  }

  void apply(Stretch& stretch) const override {
    const std::string_view text = stretch.text;
    std::size_t same = 0;  // up to here nothing changes
    while (same < text.size() && is_plain(text, same)) ++same;
    if (same == text.size()) return;
    std::string out(text.substr(0, same));
    FrontWalk walk(text, stretch.front);
    for (std::size_t i = 0; i < same; ++i) walk.put(1, 1);
    const auto emit = [&](std::size_t begin, std::size_t end) {
      if (end == begin + 1 && is_plain(text, begin)) {
        out += text[begin];
        walk.put(1, 1);
      } else {
        append_grapheme(text.substr(begin, end - begin), out, walk);
      }
    };
    for_each_grapheme(text, same, emit);
    stretch.front = walk.front();
    stretch.text = std::move(out);
  }

 private:
  bool is_plain(std::string_view text, std::size_t i) const {
    const auto next = [&] { return i + 1 == text.size() || static_cast<unsigned char>(text[i + 1]) < 0x80; };
    return static_cast<unsigned char>(text[i]) < 0x80 && plain_[static_cast<unsigned char>(text[i])] && next();
  }

  /// Calls emit(begin, end) for each grapheme from `at`, where one starts.
  template <class Emit>
  void for_each_grapheme(std::string_view text, std::size_t at, Emit emit) const {
    while (at < text.size()) {
      const std::size_t hard = first_hard(text, at, emit);
      if (hard == text.size()) return;
      // From here to the next place where two characters that stand alone meet, the rules of Unicode decide.
      std::size_t end = hard, length = 0;
      bool alone = false;
      for (; end < text.size(); end += length) {
        const bool next_alone = stands_alone(first_code_point(text.substr(end), length));
        if (alone && next_alone) break;
        alone = next_alone;
      }
      grapheme_.for_each(text.substr(hard, end - hard),
                         [&](std::size_t b, std::size_t e) { emit(hard + b, hard + e); });
      at = end;
    }
  }

  /// Emits the characters that stand alone; where the first other one, or one followed by it, starts.
  template <class Emit>
  std::size_t first_hard(std::string_view text, std::size_t at, Emit emit) const {
    std::size_t length = 0;
    if (!stands_alone(first_code_point(text.substr(at), length))) return at;
    for (std::size_t next_length = 0; at < text.size(); at += length, length = next_length) {
      const bool last = at + length == text.size();
      if (!last && !stands_alone(first_code_point(text.substr(at + length), next_length))) return at;
      emit(at, at + length);
    }
    return at;
  }

  void append_grapheme(std::string_view grapheme, std::string& out, FrontWalk& walk) const {
    constexpr std::size_t kLongestWhole = 5;
    if (grapheme.size() <= kLongestWhole) {
      if (const auto whole = find(grapheme)) {
        out += *whole;
        follow(grapheme, *whole, walk);
        return;
      }
    }
    for (std::size_t i = 0, length = 0; i < grapheme.size(); i += length) {
      first_code_point(grapheme.substr(i), length);
      const std::string_view character = grapheme.substr(i, length);
      const std::string_view replacement = find(character).value_or(character);
      out += replacement;
      follow(character, replacement, walk);
    }
  }

  /// The new characters stand for one old one each, those in excess for none, the last one for all that are left.
  static void follow(std::string_view old, std::string_view replacement, FrontWalk& walk) {
    int left = 0;
    for (const char c : old) left += is_continuation(c) ? 0 : 1;
    for (std::size_t i = 0, length = 0; i<replacement.size(); i += length, left -= left> 0 ? 1 : 0) {
      first_code_point(replacement.substr(i), length);
      walk.put(length, left > 0 ? 1 : 0);
    }
    walk.widen(left);
  }

  std::uint32_t unit(std::size_t i) const {
    if (i >= units_.size())
      throw DataError(fmt::format("{}: the character map points behind its end: it is damaged", where_));
    return units_[i];
  }
  static std::size_t offset(std::uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); }

  /// The replacement of the shortest entry that the text starts with.
  std::optional<std::string_view> find(std::string_view text) const {
    std::size_t node = offset(unit(0));
    for (const char c : text) {
      if (c == '\0') return std::nullopt;
      node ^= static_cast<unsigned char>(c);
      const std::uint32_t here = unit(node);
      if ((here & 0x800000FFu) != static_cast<unsigned char>(c)) return std::nullopt;
      node ^= offset(here);
      if ((here >> 8 & 1u) == 0) continue;
      const std::size_t start = unit(node) & 0x7FFFFFFFu;
      const std::size_t end = start < replacements_.size() ? replacements_.find('\0', start) : start;
      const std::string_view found =
          std::string_view(replacements_).substr(std::min(start, replacements_.size()), end - start);
      if (find_invalid_utf8(found))
        throw DataError(fmt::format("{}: the character map cuts a character: it is damaged", where_));
      return found;
    }
    return std::nullopt;
  }

  std::string where_;
  TokenPattern grapheme_;
  std::vector<std::uint32_t> units_;
  std::string replacements_;  ///< texts that end with a zero byte
  bool plain_[0x80] = {};     ///< ASCII characters that no entry starts with
};
}  // namespace

std::unique_ptr<Normalizer> make_character_map(std::string_view bytes, const std::string& where) {
  return std::make_unique<CharacterMap>(bytes, where);
}

}  // namespace mneme::text
