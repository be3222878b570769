#include "core/text/unicode_data.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <span>
#include <unordered_map>
#include <vector>

#include "core/base/error.h"
#include "core/base/unicode.h"
#include "core/text/front_walk.h"

namespace mneme::text {

namespace {
struct CodeRange {
  char32_t first, last;
};

#include "core/text/unicode_tables.inc"

bool contains(std::span<const CodeRange> ranges, char32_t c) {
  const auto behind = std::upper_bound(ranges.begin(), ranges.end(), c,
                                       [](char32_t value, const CodeRange& range) { return value < range.first; });
  return behind != ranges.begin() && c <= std::prev(behind)->last;
}

std::string pcre2_ranges(std::span<const CodeRange> ranges) {
  std::string text;
  for (const auto& [first, last] : ranges)
    text += fmt::format("\\x{{{:x}}}-\\x{{{:x}}}", static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(last));
  return text;
}

/// Calls use(words) for each entry "1f 2e 3d;" of a generated table.
template <class Use>
void for_each_entry(std::string_view table, Use use) {
  std::vector<char32_t> words;
  for (std::size_t i = 0; i < table.size(); ++i) {
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(table.data() + i, table.data() + table.size(), value, 16);
    MNEME_CHECK(error == std::errc(), "internal: a table of Unicode is damaged at {}", i);
    words.push_back(value);
    i = static_cast<std::size_t>(end - table.data());
    if (table[i] == ';') {
      use(std::span<const char32_t>(words));
      words.clear();
    }
  }
}

std::unordered_map<char32_t, std::u32string> mappings(std::string_view table) {
  std::unordered_map<char32_t, std::u32string> map;
  for_each_entry(table, [&](std::span<const char32_t> w) { map[w[0]] = std::u32string(w.begin() + 1, w.end()); });
  return map;
}
}  // namespace

std::optional<std::string> pcre2_property(std::string_view name) {
  struct Property {
    std::string_view name;
    std::span<const CodeRange> ranges;
  };
  // With what PCRE2 does not know yet.
  static constexpr std::array<Property, 15> kCategories{{{"L", kNewerL},
                                                         {"N", kNewerN},
                                                         {"M", kNewerM},
                                                         {"P", kNewerP},
                                                         {"S", kNewerS},
                                                         {"Lu", kNewerLu},
                                                         {"Ll", kNewerLl},
                                                         {"Lt", {}},
                                                         {"Lm", kNewerLm},
                                                         {"Lo", kNewerLo},
                                                         {"Nd", kNewerNd},
                                                         {"Z", {}},
                                                         {"Zs", {}},
                                                         {"Zl", {}},
                                                         {"Zp", {}}}};
  static constexpr std::array<Property, 11> kScripts{{{"Arabic", kArabic},
                                                      {"Cyrillic", kCyrillic},
                                                      {"Devanagari", kDevanagari},
                                                      {"Greek", kGreek},
                                                      {"Han", kHan},
                                                      {"Hangul", kHangul},
                                                      {"Hebrew", kHebrew},
                                                      {"Hiragana", kHiragana},
                                                      {"Katakana", kKatakana},
                                                      {"Latin", kLatin},
                                                      {"Thai", kThai}}};
  for (const Property& category : kCategories)
    if (category.name == name) return fmt::format("\\p{{{}}}{}", name, pcre2_ranges(category.ranges));
  for (const Property& script : kScripts)
    if (script.name == name) return pcre2_ranges(script.ranges);
  return std::nullopt;
}

std::string word_ranges() { return pcre2_ranges(kWord); }
std::string also_in_words() { return pcre2_ranges(kAlsoInWords); }
std::string not_in_words() { return pcre2_ranges(kNotInWords); }
std::string newer_mark_ranges() { return pcre2_ranges(kNewerM); }
std::string punctuation_ranges() { return pcre2_ranges(kPunctuation); }
std::string numeric_ranges() { return pcre2_ranges(kNumeric); }

bool is_word(char32_t c) { return contains(kWord, c) ? !contains(kNotInWords, c) : contains(kAlsoInWords, c); }
bool is_mark(char32_t c) { return contains(kMarks, c); }

bool is_white_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r');
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
         c == 0x202F || c == 0x205F || c == 0x3000;
}

std::string lower_case(std::string_view utf8) {
  static const auto kMap = mappings(kLower);
  std::string out;
  out.reserve(utf8.size());
  for (std::size_t i = 0, length = 0; i < utf8.size(); i += length) {
    const char32_t c = first_code_point(utf8.substr(i), length);
    if (c < 0x80) {
      out += static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    } else if (const auto lower = kMap.find(c); lower != kMap.end()) {
      for (const char32_t l : lower->second) append_utf8(out, l);
    } else {
      out += utf8.substr(i, length);
    }
  }
  return out;
}

char32_t first_code_point(std::string_view utf8, std::size_t& length) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(utf8[i]); };
  const unsigned char lead = byte(0);
  length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  if (length == 1) return lead;
  char32_t value = lead & (0x7Fu >> length);
  for (std::size_t i = 1; i < length; ++i) value = (value << 6) | (byte(i) & 0x3Fu);
  return value;
}

void append_utf8(std::string& out, char32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
    return;
  }
  const int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
  out += static_cast<char>(((0xFF00u >> (more + 1)) & 0xFFu) | (c >> (6 * more)));
  for (int i = more - 1; i >= 0; --i) out += static_cast<char>(0x80u | ((c >> (6 * i)) & 0x3Fu));
}

// Hangul syllables are composed by arithmetic (The Unicode Standard, section 3.12).
namespace hangul {
constexpr char32_t kSyllable = 0xAC00, kLead = 0x1100, kVowel = 0x1161, kTrail = 0x11A7;
constexpr char32_t kLeads = 19, kVowels = 21, kTrails = 28, kSyllables = kLeads * kVowels * kTrails;

bool is_syllable(char32_t c) { return c >= kSyllable && c < kSyllable + kSyllables; }

std::u32string decompose(char32_t c) {
  const char32_t index = c - kSyllable;
  std::u32string out{kLead + index / (kVowels * kTrails), kVowel + index % (kVowels * kTrails) / kTrails};
  if (index % kTrails != 0) out += kTrail + index % kTrails;
  return out;
}

std::optional<char32_t> compose(char32_t a, char32_t b) {
  if (a >= kLead && a < kLead + kLeads && b >= kVowel && b < kVowel + kVowels)
    return kSyllable + ((a - kLead) * kVowels + (b - kVowel)) * kTrails;
  if (is_syllable(a) && (a - kSyllable) % kTrails == 0 && b > kTrail && b < kTrail + kTrails) return a + (b - kTrail);
  return std::nullopt;
}
}  // namespace hangul

struct UnicodeNormalizer::Tables {
  bool composes = false;
  std::unordered_map<char32_t, std::u32string> decompositions;
  std::unordered_map<char32_t, int> classes;             ///< canonical combining classes other than 0
  std::unordered_map<std::uint64_t, char32_t> composed;  ///< by first << 32 | second
  std::vector<bool> active;  ///< by code point: a text without such ones is in the form already

  std::optional<char32_t> compose(char32_t a, char32_t b) const {
    if (const auto syllable = hangul::compose(a, b)) return syllable;
    const auto found = composed.find(static_cast<std::uint64_t>(a) << 32 | b);
    return found == composed.end() ? std::nullopt : std::optional(found->second);
  }

  int combining_class(char32_t c) const {
    const auto found = classes.find(c);
    return found == classes.end() ? 0 : found->second;
  }

  /// A character of the form and how many of the text it stands for (FrontWalk).
  struct Unit {
    char32_t c;
    int stands_for;
  };
  using Units = std::vector<Unit>;

  void decompose(char32_t c, Units& out) const {
    const auto found = decompositions.find(c);
    const std::u32string parts = hangul::is_syllable(c)          ? hangul::decompose(c)
                                 : found == decompositions.end() ? std::u32string(1, c)
                                                                 : found->second;
    for (std::size_t i = 0; i < parts.size(); ++i) out.push_back({parts[i], i == 0 ? 1 : 0});
  }

  /// Marks in a row by ascending class, equal ones in their order.
  void order(Units& text) const {
    const auto class_of = [&](const Unit& unit) { return combining_class(unit.c); };
    for (auto first = text.begin(); first != text.end();) {
      if (class_of(*first) == 0) {
        ++first;
        continue;
      }
      auto last = std::find_if(first, text.end(), [&](const Unit& unit) { return class_of(unit) == 0; });
      std::stable_sort(first, last, [&](const Unit& a, const Unit& b) { return class_of(a) < class_of(b); });
      first = last;
    }
  }

  /// The canonical composition algorithm (The Unicode Standard, D117).
  void compose(Units& text) const {
    std::optional<std::size_t> starter;
    std::size_t end = 0;
    int last_class = 0;
    for (const Unit unit : text) {
      const int own = combining_class(unit.c);
      const bool blocked = starter && end > *starter + 1 && last_class >= own;
      const auto both = starter && !blocked ? compose(text[*starter].c, unit.c) : std::nullopt;
      if (both) {
        text[*starter] = {*both, text[*starter].stands_for + unit.stands_for};
        continue;
      }
      if (own == 0) starter = end;
      last_class = own;
      text[end++] = unit;
    }
    text.resize(end, {});
  }

  Units normalized(std::u32string_view text) const {
    Units out;
    out.reserve(text.size());
    for (const char32_t c : text) decompose(c, out);
    order(out);
    if (composes) compose(out);
    return out;
  }

  void mark_active() {
    active.assign(0x30000, false);
    const auto mark = [&](char32_t c) {
      if (c < active.size()) active[c] = true;
    };
    for (const auto& [c, number] : classes) mark(c);
    for (const auto& [c, text] : decompositions) {
      const Units own = composes ? normalized({&c, 1}) : Units{};
      if (own.size() != 1 || own[0].c != c) mark(c);
    }
    for (const auto& [pair, c] : composed) mark(static_cast<char32_t>(pair));
    for (char32_t c = hangul::kVowel; c < hangul::kTrail + hangul::kTrails; ++c) mark(c);
    if (!composes)
      for (char32_t c = hangul::kSyllable; c < hangul::kSyllable + hangul::kSyllables; ++c) mark(c);
  }
};

UnicodeNormalizer::Tables UnicodeNormalizer::make_tables(NormalForm form) {
  Tables tables;
  tables.composes = form == NormalForm::kNfc || form == NormalForm::kNfkc;
  tables.decompositions = mappings(kCanonical);
  if (form == NormalForm::kNfkc || form == NormalForm::kNfkd)
    for (auto& [c, text] : mappings(kCompatible)) tables.decompositions[c] = text;
  for_each_entry(kCombiningClasses, [&](std::span<const char32_t> w) {
    for (std::size_t i = 1; i + 1 < w.size(); i += 2)
      for (char32_t c = w[i]; c <= w[i + 1]; ++c) tables.classes[c] = static_cast<int>(w[0]);
  });
  if (tables.composes)
    for_each_entry(kPairs, [&](std::span<const char32_t> w) {
      tables.composed[static_cast<std::uint64_t>(w[0]) << 32 | w[1]] = w[2];
    });
  tables.mark_active();
  return tables;
}

template <NormalForm kForm>
const UnicodeNormalizer::Tables& UnicodeNormalizer::tables_of() {
  static const Tables kTables = make_tables(kForm);
  return kTables;
}

UnicodeNormalizer::UnicodeNormalizer(NormalForm form)
    : tables_(form == NormalForm::kNfc    ? tables_of<NormalForm::kNfc>()
              : form == NormalForm::kNfd  ? tables_of<NormalForm::kNfd>()
              : form == NormalForm::kNfkc ? tables_of<NormalForm::kNfkc>()
                                          : tables_of<NormalForm::kNfkd>()) {}

void UnicodeNormalizer::apply(std::string& utf8, std::size_t& front) const {
  bool clean = true;
  for (std::size_t i = 0, length = 0; i < utf8.size() && clean; i += length) {
    const char32_t c = first_code_point(std::string_view(utf8).substr(i), length);
    clean = c < 0x80 || c >= tables_.active.size() || !tables_.active[c];
  }
  if (clean) return;
  std::string out;
  FrontWalk walk(utf8, front);
  for (const auto& [c, stands_for] : tables_.normalized(decode_utf8(utf8))) {
    const std::size_t before = out.size();
    append_utf8(out, c);
    walk.put(out.size() - before, stands_for);
  }
  front = walk.front();
  utf8 = std::move(out);
}

}  // namespace mneme::text
